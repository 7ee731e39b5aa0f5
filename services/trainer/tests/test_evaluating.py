"""An evaluation asks the models that serve, and leaves figures, rows and nothing on the bus."""

import json
from typing import Any

import pytest
from modelmill.inference.v1 import inference_service_pb2 as inference
from modelmill.jobs.v1.job_pb2 import (
    JOB_STATUS_FAILED,
    JOB_STATUS_QUEUED,
    JOB_STATUS_SUCCEEDED,
    JobState,
)
from modelmill.registry.v1.model_events_pb2 import AliasState
from modelmill.trainer.v1.evaluation_pb2 import EvaluationRowFilter as RowFilter
from modelmill_bus.subjects import alias_state, job_state
from modelmill_service_kit.errors import InvalidInputError, NotFoundError
from modelmill_testkit.fake_inference import NEWER, VERSION, FakeInference
from modelmill_testkit.waiting import eventually
from trainer_support.evaluations import (
    Learned,
    Pausing,
    create,
    evaluating,
    figures_of,
    found,
    listed,
    upload,
)

CHOOSING = """
task: kinds
output_type: multiple_choice
dataset_path: json
dataset_kwargs: {data_files: {test: kinds.jsonl, train: shots.jsonl}}
fewshot_split: train
num_fewshot: 1
fewshot_config: {sampler: first_n}
doc_to_text: "{{ what | trim }}:"
doc_to_choice: ["animal", "plant", "food"]
doc_to_target: kind
metric_list: [{metric: acc}, {metric: acc_norm}]
"""
WRITING = """
task: says
output_type: generate_until
dataset_kwargs: {data_files: kinds.jsonl}
doc_to_text: what
doc_to_target: "{{ ['animal', 'plant', 'food'][kind] }}"
generation_kwargs: {until: ["\\n"], max_gen_toks: 5}
metric_list: [{metric: exact_match}, {metric: bleu}]
"""
KINDS = [
    {"what": " a paw", "kind": 0},
    {"what": "a leaf", "kind": 1},
    {"what": "salt", "kind": 0},
    {"kind": 2},
]


PROTECTIONS = [
    {"measure": "accuracy", "worst": 0.9, "largest_loss": 0.0},
    {"measure": "perplexity", "slice_by": "answer", "slice_value": "plant", "worst": 1.0},
]


async def test_two_versions_are_compared_on_the_same_rows(site: Any, toy_rows: Any) -> None:
    async with evaluating(site, Learned()):
        await site.add_dataset(test=toy_rows(12))
        wanted = {"compare_to": NEWER, "slices": [{"by": "answer"}], "protections": PROTECTIONS}
        results = await figures_of(site, (await create(site, **wanted)).job_id)

    [suite] = results["suites"]
    accuracy = suite["measures"]["accuracy"]
    assert (suite["rows"], accuracy["model"]["value"]) == (12, 1.0)
    assert accuracy["compare_to"]["value"] == pytest.approx(1 / 3)
    assert accuracy["comparison"]["won"] == pytest.approx(2 / 3)
    assert accuracy["comparison"]["difference"]["value"] == pytest.approx(2 / 3)
    assert accuracy["comparison"]["is_clear"]
    assert suite["measures"]["perplexity"]["model"]["value"] == pytest.approx(1.6487, abs=1e-3)
    assert suite["measures"]["exact_match"]["model"]["value"] == 1.0
    assert suite["slices"]["answer"]["plant"]["measures"]["accuracy"]["compare_to"]["value"] == 0
    assert [each["passed"] for each in results["protections"]] == [True, False]
    assert results["protections"][1]["why"] == "1.64872 is worse than 1"
    assert results["passed"] is False


@pytest.mark.parametrize(("limit", "most"), [(0, len("animal") + 16), (5, 5)])
async def test_answers_are_not_written_far_beyond_the_longest_reference(
    site: Any, toy_rows: Any, limit: int, most: int
) -> None:
    service = Learned()
    async with evaluating(site, service):
        await site.add_dataset(test=toy_rows(3))
        created = await create(site, measures=["exact_match"], max_new_tokens=limit)
        await site.ended(created.job_id)

    (_, *asked) = [each for each in service.requests if each.HasField("options")]
    assert {request.options.max_new_tokens for request in asked} == {most}


async def test_the_job_record_has_metrics_and_the_artifact_rows_without_prompts(
    site: Any, toy_rows: Any
) -> None:
    service = Learned()
    async with evaluating(site, service):
        await site.add_dataset(test=toy_rows(6))
        job_id = (await create(site, compare_to=NEWER, slices=[{"by": "answer"}])).job_id
        summary = dict((await site.ended(job_id)).result.summary)
        lines = await found(site, job_id, "rows")
        page = await found(site, job_id, "html")

    rows = [json.loads(line) for line in lines.splitlines()]
    assert [row["row"] for row in rows] == [str(n) for n in range(1, 7)]
    assert rows[1]["model"]["answer"] == rows[1]["reference"] == "plant"
    assert rows[1]["compare_to"]["chosen"] == "animal"
    assert rows[1]["compare_to"]["scores"]["accuracy"] == 0
    assert "1 has leaf" not in lines + page
    assert "accuracy" in page
    assert "perplexity" not in page
    assert "bleu" not in page
    assert list(summary["suites"]["dataset"]["shown"]) == [
        *("accuracy", "accuracy_norm", "f1", "exact_match")
    ]
    assert {"perplexity", "bleu"} <= set(summary["suites"]["dataset"]["measures"])
    assert page.startswith("<!doctype html>")
    assert summary["passed"] is True
    assert "plant" not in str(summary)
    assert {request.tenant for request in service.requests} == {"acme"}


async def test_rows_are_listed_by_filter_in_pages_with_their_groups(
    site: Any, toy_rows: Any
) -> None:
    async with evaluating(site, Learned()):
        await site.add_dataset(test=toy_rows(6))
        job_id = (await create(site, compare_to=NEWER, slices=[{"by": "answer"}])).job_id
        await site.ended(job_id)
        first = await listed(site, job_id, limit=2, filter=RowFilter(differs=True))
        rest = await listed(site, job_id, after=first.rows[-1].line, filter=RowFilter(differs=True))
        plants = await listed(
            site, job_id, filter=RowFilter(slice_by="answer", slice_value="plant")
        )
        wrong = await listed(site, job_id, filter=RowFilter(wrong=True))
        with pytest.raises(InvalidInputError, match="at most 100"):
            await listed(site, job_id, limit=101)
        with pytest.raises(NotFoundError):
            await listed(site, job_id, tenant="other")

    assert ([row.row for row in first.rows], first.has_more) == (["2", "3"], True)
    assert ([row.row for row in rest.rows], rest.has_more) == (["5", "6"], False)
    (second, *_) = first.rows
    assert (second.reference, second.model.answer) == ("plant", "plant")
    assert (second.model.is_right, second.compare_to.is_right) == (True, False)
    assert second.compare_to.chosen == "animal"
    assert not second.HasField("prompt")
    assert {row.reference for row in plants.rows} == {"plant"}
    assert {row.slices["answer"] for row in plants.rows} == {"plant"}
    assert list(wrong.rows) == []


async def test_an_alias_is_resolved_when_the_job_starts(site: Any, toy_rows: Any) -> None:
    service = Learned()
    service.alias = NEWER
    async with evaluating(site, service):
        await site.add_dataset(test=toy_rows(3))
        alias = AliasState(tenant="acme", name="base", version_id=NEWER)
        await site.bus.publish(alias_state("acme", "base"), alias)
        created = await create(site, model="base", measures=["accuracy"])
        state = await site.ended(created.job_id)
        results = json.loads(await found(site, created.job_id))

    assert state.status == JOB_STATUS_SUCCEEDED, state.error
    assert results["models"] == {"model": {"asked": "base", "version_id": NEWER}}
    assert {request.model for request in service.requests[1:]} == {NEWER}


async def test_harness_tasks_are_rendered_by_their_templates(site: Any) -> None:
    service = Learned()
    async with evaluating(site, service):
        kinds = await upload(site, "kinds.jsonl", KINDS)
        shots = await upload(site, "shots.jsonl", [{"what": "a stone", "kind": 2}])
        created = await create(
            site,
            dataset_id="",
            tasks=[
                {"config": CHOOSING, "data_file_ids": [kinds, shots]},
                {"config": WRITING, "data_file_ids": [kinds]},
            ],
        )
        results = await figures_of(site, created.job_id)

    first, second = results["suites"]
    assert (first["name"], first["rows"], first["skipped"]) == ("kinds", 3, 1)
    assert "what" in first["first_skipped"]
    assert first["measures"]["accuracy"]["model"]["value"] == pytest.approx(2 / 3)
    assert list(first["measures"]) == ["accuracy", "accuracy_norm"]
    assert second["measures"]["exact_match"]["model"]["value"] == pytest.approx(2 / 3)
    scored = next(r for r in service.requests if isinstance(r, inference.ScoreRequest))
    assert scored.text == "a stone: food\n\na paw:"
    assert list(scored.continuations) == [" animal", " plant", " food"]
    written = [r for r in service.requests if isinstance(r, inference.GenerateRequest)][-1]
    assert (written.options.stop, written.options.max_new_tokens) == (["\n"], 5)
    assert written.options.temperature == 0


async def test_a_job_without_usable_rows_or_answers_fails(
    site: Any,
) -> None:
    row = {"messages": [{"role": "user", "content": "unreadable"}], "row": 1}
    asked = {"role": "assistant", "content": "unreadable"}
    async with evaluating(site, FakeInference()):
        await site.add_dataset(test=[row])
        await site.add_dataset(
            dataset_id="ds-long", test=[{"messages": [*row["messages"], asked], "row": 1}]
        )
        none, unread = [
            await site.ended((await create(site, dataset_id=each)).job_id)
            for each in ("ds-toy", "ds-long")
        ]

    assert (none.status, none.error.code) == (JOB_STATUS_FAILED, "NO_ROWS")
    assert (unread.status, unread.error.code) == (JOB_STATUS_FAILED, "NOTHING_MEASURED")
    assert "too long" in unread.error.message


async def test_an_inference_service_that_is_away_is_waited_for(site: Any, toy_rows: Any) -> None:
    async with site.serving(inference_address="127.0.0.1:9"):
        await site.announce_model(version_id=VERSION, form="openvino-int8")
        await site.add_dataset(test=toy_rows(3))
        created = await create(site)

        async def waits() -> JobState | None:
            stored = await site.bus.last(job_state(created.job_id), JobState)
            return stored.body if stored and stored.body.error.code else None

        state = await eventually(waits)

    assert state is not None
    assert (state.status, state.failures) == (JOB_STATUS_QUEUED, 0)
    assert state.error.code == "UNAVAILABLE"


async def test_a_resumed_evaluation_keeps_its_versions_and_answers(
    site: Any, toy_rows: Any
) -> None:
    service = Pausing(first=12)
    async with evaluating(site, service, inference_at_once=2):
        await site.add_dataset(test=toy_rows(15))
        alias = AliasState(tenant="acme", name="base", version_id=VERSION)
        await site.bus.publish(alias_state("acme", "base"), alias)
        created = await create(site, model="base", measures=["accuracy"])
        await eventually(lambda: len(service.requests) > service.first + 1)
    # The service is told to stop while a question is open: the job goes back with its answers.
    state = await site.state(created.job_id)
    assert (state.status, state.preemptions) == (JOB_STATUS_QUEUED, 1)
    answered = state.checkpoint.step
    assert answered >= 10

    service.alias = NEWER
    service.goes_on.set()
    asked = len(service.requests)
    async with evaluating(site, service):
        results = await figures_of(site, created.job_id)

    assert results["models"]["model"] == {"asked": "base", "version_id": VERSION}
    assert results["suites"][0]["measures"]["accuracy"]["model"]["rows"] == 15
    scored = [r for r in service.requests[asked:] if isinstance(r, inference.ScoreRequest)]
    assert len(scored) == 15 - answered
    assert {request.model for request in service.requests[asked:]} == {VERSION}


async def test_a_suite_has_the_mean_of_its_tasks_and_rows_with_prompts_where_asked(
    site: Any, toy_rows: Any
) -> None:
    other = CHOOSING.replace("task: kinds", "task: more").replace("metric: acc}", "metric: f1}")
    async with evaluating(site, Learned()):
        await site.add_dataset(test=toy_rows(3))
        kinds = await upload(site, "kinds.jsonl", KINDS)
        shots = await upload(site, "shots.jsonl", [{"what": "a stone", "kind": 2}])
        created = await create(
            site,
            compare_to=NEWER,
            tasks=[{"config": each, "data_file_ids": [kinds, shots]} for each in (CHOOSING, other)],
            suite={"name": "both", "license": "MIT"},
            protections=[
                {"measure": "mean", "worst": 0.01, "largest_loss": 1},
                {"measure": "mean", "worst": 1.5},
            ],
            with_prompts=True,
        )
        results = await figures_of(site, created.job_id)
        lines = await found(site, created.job_id, "rows")
        page = await found(site, created.job_id, "html")
        summary = dict((await site.ended(created.job_id)).result.summary)

    suite = results["suite"]
    assert (suite["name"], suite["license"]) == ("both", "MIT")
    assert suite["metrics"] == {"kinds": "accuracy", "more": "f1"}
    tasks = {each["name"]: each["measures"] for each in results["suites"]}
    values = [tasks["kinds"]["accuracy"]["model"]["value"], tasks["more"]["f1"]["model"]["value"]]
    mean = suite["mean"]
    assert mean["model"]["value"] == pytest.approx(sum(values) / 2)
    assert mean["comparison"]["difference"]["value"] == pytest.approx(
        mean["model"]["value"] - mean["compare_to"]["value"]
    )
    assert summary["suite"]["name"] == "both"
    check_bounds_of_mean(summary, mean)
    assert "Suite both" in page
    rows = [json.loads(line) for line in lines.splitlines()]
    assert rows[3]["prompt"] == "a stone: food\n\na paw:"


def check_bounds_of_mean(summary: dict[str, Any], mean: dict[str, Any]) -> None:
    """Of two protections the first holds."""
    holds, fails = summary["protections"]
    assert (holds["value"], holds["passed"]) == (mean["model"]["value"], True)
    assert holds["difference"] == mean["comparison"]["difference"]["value"]
    assert (fails["passed"], summary["passed"]) == (False, False)
    assert "is worse than 1.5" in fails["why"]


async def test_a_suite_with_a_task_of_another_scale_says_that_it_has_no_mean(site: Any) -> None:
    perplexity = WRITING.replace("generate_until", "loglikelihood").partition("generation")[0]
    async with evaluating(site, Learned()):
        kinds = await upload(site, "kinds.jsonl", KINDS)
        created = await create(
            site,
            dataset_id="",
            tasks=[{"config": perplexity, "data_file_ids": [kinds]}],
            suite={"name": "one", "license": "MIT"},
        )
        results = await figures_of(site, created.job_id)

    assert results["suite"]["mean"] == {}
    assert results["suite"]["without_mean"] == "no mean: a task is measured says by perplexity"


async def test_a_suite_without_tasks_or_licence_is_refused(site: Any, toy_rows: Any) -> None:
    async with evaluating(site, Learned()):
        await site.add_dataset(test=toy_rows(3))
        with pytest.raises(InvalidInputError) as refused:
            await create(site, suite={"name": "none"})

    assert "suite.license must be a text of 1 to 64 characters" in refused.value.errors
    assert "suite names the suite of the tasks, and there are no tasks" in refused.value.errors


async def test_a_protected_mean_that_would_not_be_measured_is_refused(site: Any) -> None:
    perplexity = WRITING.replace("generate_until", "loglikelihood").partition("generation")[0]
    async with evaluating(site, Learned()):
        kinds = await upload(site, "kinds.jsonl", KINDS)
        tasks = [{"config": perplexity, "data_file_ids": [kinds]}]
        with pytest.raises(InvalidInputError) as refused:
            await create(
                site, dataset_id="", tasks=tasks, protections=[{"measure": "mean", "worst": 0.5}]
            )
        with pytest.raises(InvalidInputError) as scaled:
            await create(
                site,
                dataset_id="",
                tasks=tasks,
                suite={"name": "one", "license": "MIT"},
                protections=[{"measure": "mean", "slice_by": "script", "largest_loss": -1}],
            )

    assert refused.value.errors == [
        "protection 1: a mean is of the tasks of a suite. Name it",
    ]
    for wrong in (
        "protection 1: no mean: a task is measured says by perplexity",
        "protection 1: the mean is over all tasks. Leave slice and suite out",
        "protection 1: largest_loss must not be below 0",
        "protection 1: largest_loss needs compare_to",
    ):
        assert wrong in scaled.value.errors
