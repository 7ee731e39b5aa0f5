"""An evaluation asks the models that serve, and leaves figures, rows and nothing on the bus."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from jobs.subjects import alias_state, file_state, job_requested, job_state
from modelmill.inference.v1 import inference_service_pb2 as inference
from modelmill.jobs.v1.job_pb2 import (
    JOB_STATUS_FAILED,
    JOB_STATUS_QUEUED,
    JOB_STATUS_SUCCEEDED,
    JobRequested,
    JobState,
)
from modelmill.registry.v1.model_events_pb2 import AliasState, FileState
from modelmill.trainer.v1 import evaluation_pb2 as pb
from service_kit.errors import InvalidInputError, NotFoundError, PreconditionError
from service_kit.grpc_client import domain_errors
from testkit.fake_inference import NEWER, VERSION, FakeInference, serving
from testkit.waiting import eventually

CLUES = {"paw": "animal", "leaf": "plant", "salt": "food"}


class Learned(FakeInference):
    """Of each version, which answers it finds likely: "paw" makes an animal, and so on.

    mv-1 knows all clues, mv-2 knows none and always says animal.
    """

    async def Score(self, request: inference.ScoreRequest, context: Any) -> Any:
        version = await self._take(request)
        says = self._answer(version, request)
        scores = [
            inference.ContinuationScore(
                log_likelihood=-1.0 if text.strip() == says else -4.0,
                tokens=2,
                is_greedy=text.strip() == says,
            )
            for text in request.continuations
        ]
        return inference.ScoreResponse(scores=scores, version_id=version)

    async def Generate(self, request: inference.GenerateRequest, context: Any) -> Any:
        version = await self._take(request)
        says = self._answer(version, request)
        end = inference.GenerationEnd(finish_reason="stop", version_id=version)
        yield inference.GenerateResponse(text_delta=says, end=end, version_id=version)

    def _answer(self, version: str, request: Any) -> str:
        turns = request.conversation.messages
        prompt = turns[-1].content if turns else request.text.rsplit("\n\n", 1)[-1]
        known = {} if version == NEWER else CLUES
        return next((answer for clue, answer in known.items() if clue in prompt), "animal")


@asynccontextmanager
async def evaluating(site: Any, service: FakeInference, **changes: Any) -> AsyncIterator[None]:
    async with (
        serving(service) as address,
        site.serving(inference_address=address, **changes),
    ):
        for version in (VERSION, NEWER):
            await site.announce_model(version_id=version, form="openvino-int8")
        yield


async def create(site: Any, **fields: Any) -> pb.CreateEvaluationJobResponse:
    spec = pb.EvaluationSpec(**({"model": VERSION, "dataset_id": "ds-toy"} | fields))
    request = pb.CreateEvaluationJobRequest(tenant="acme", requested_by="tester", spec=spec)
    with domain_errors():
        accepted: pb.CreateEvaluationJobResponse = await site.stub.CreateEvaluationJob(
            request, timeout=20
        )
    return accepted


async def found(site: Any, job_id: str, wanted: str = "json") -> str:
    request = pb.DownloadEvaluationRequest(tenant="acme", job_id=job_id, format=wanted)
    with domain_errors():
        parts = [part.chunk async for part in site.stub.DownloadEvaluation(request, timeout=20)]
    return b"".join(parts).decode()


async def upload(site: Any, name: str, rows: Sequence[dict[str, Any]]) -> str:
    folder = site.root / f"upload-{name}"
    folder.mkdir()
    (folder / "content").write_text("".join(json.dumps(row) + "\n" for row in rows))
    manifest = await asyncio.to_thread(
        site.store.commit, folder, kind="file", form="jsonl", attributes={"filename": name}
    )
    file_id = f"file-{name.partition('.')[0]}"
    state = FileState(file_id=file_id, tenant="acme", filename=name, digest=manifest.digest)
    await site.bus.publish(file_state(file_id), state)
    return file_id


async def test_a_version_is_measured_beside_another_and_the_record_has_the_figures(
    site: Any, toy_rows: Any
) -> None:
    service = Learned()
    async with evaluating(site, service):
        await site.add_dataset(test=toy_rows(12))
        created = await create(
            site,
            compare_to=NEWER,
            slices=[{"by": "answer"}],
            protections=[
                {"measure": "accuracy", "worst": 0.9, "largest_loss": 0.0},
                {
                    "measure": "perplexity",
                    "slice_by": "answer",
                    "slice_value": "plant",
                    "worst": 1.0,
                },
            ],
        )
        state = await site.ended(created.job_id)
        assert state.status == JOB_STATUS_SUCCEEDED, state.error
        results = json.loads(await found(site, created.job_id))
        lines = await found(site, created.job_id, "rows")
        rows = [json.loads(line) for line in lines.splitlines()]
        page = await found(site, created.job_id, "html")

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
    assert [row["row"] for row in rows] == [str(n) for n in range(1, 13)]
    assert rows[1]["model"]["answer"] == rows[1]["reference"] == "plant"
    assert rows[1]["compare_to"]["chosen"] == "animal"
    assert rows[1]["compare_to"]["scores"]["accuracy"] == 0
    assert "1 has leaf" not in json.dumps(rows)
    assert page.startswith("<!doctype html>")
    summary = dict(state.result.summary)
    assert summary["passed"] is False
    assert {request.tenant for request in service.requests} == {"acme"}
    assert not [row for row in ("plant", "leaf") if row in str(state.result.summary["suites"])]


async def test_an_alias_is_measured_as_the_version_that_it_is_when_the_job_begins(
    site: Any, toy_rows: Any
) -> None:
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


async def test_tasks_of_the_harness_are_asked_by_their_templates(site: Any) -> None:
    choosing = """
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
    writing = """
task: says
output_type: generate_until
dataset_kwargs: {data_files: kinds.jsonl}
doc_to_text: what
doc_to_target: "{{ ['animal', 'plant', 'food'][kind] }}"
generation_kwargs: {until: ["\\n"], max_gen_toks: 5}
metric_list: [{metric: exact_match}, {metric: bleu}]
"""
    service = Learned()
    async with evaluating(site, service):
        kinds = await upload(
            site,
            "kinds.jsonl",
            [
                {"what": " a paw", "kind": 0},
                {"what": "a leaf", "kind": 1},
                {"what": "salt", "kind": 0},
                {"kind": 2},
            ],
        )
        shots = await upload(site, "shots.jsonl", [{"what": "a stone", "kind": 2}])
        created = await create(
            site,
            dataset_id="",
            tasks=[
                {"config": choosing, "data_file_ids": [kinds, shots]},
                {"config": writing, "data_file_ids": [kinds]},
            ],
        )
        state = await site.ended(created.job_id)
        assert state.status == JOB_STATUS_SUCCEEDED, state.error
        results = json.loads(await found(site, created.job_id))

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


async def test_everything_that_is_wrong_is_said_at_once(site: Any) -> None:
    async with evaluating(site, Learned(), role="serve"):
        with pytest.raises(InvalidInputError) as refused:
            await create(
                site,
                model="nobody",
                dataset_id="ds-none",
                split="all",
                measures=["vibes", "accuracy"],
                slices=[{"by": "length", "edges": [5, 5]}, {"by": "topic", "edges": [1]}],
                protections=[{"measure": "bleu", "slice_by": "x", "largest_loss": 1}],
                max_rows=10**6,
                tasks=[{"config": "task: a\noutput_type: rolling\nprocess: 1"}],
            )

    said = refused.value.errors
    for wrong in (
        "task 1: output_type 'rolling'",
        "task 1: process is not supported",
        "max_rows must be at most 100000",
        "split must be one of train, valid, test",
        "measure 'vibes' is not known",
        "edges of slice 'length' must rise",
        "slice 'topic' has edges",
        "protection 1: bleu is not among the measures",
        "protection 1: largest_loss needs compare_to",
        "protection 1: no slice by 'x'",
        "protection 1: slice_by and slice_value go together",
        "nobody",
        "ds-none",
    ):
        assert any(wrong in error for error in said), (wrong, said)


async def test_what_is_missing_is_not_found(site: Any, toy_rows: Any) -> None:
    async with evaluating(site, Learned(), role="serve"):
        await site.add_dataset(test=toy_rows(3))
        config = "task: a\noutput_type: loglikelihood\ndataset_kwargs: {data_files: a.jsonl}\n"
        config += "doc_to_text: q\ndoc_to_target: a\n"
        task = {"config": config, "data_file_ids": ["file-none"]}
        with pytest.raises(NotFoundError, match=r"nobody.*file-none"):
            await create(site, model="nobody", tasks=[task])
        with pytest.raises(InvalidInputError, match=r"no given file is called 'a\.jsonl'"):
            await create(site, tasks=[{"config": config}])
        with pytest.raises(InvalidInputError, match="give a dataset_id, tasks or both"):
            await create(site, dataset_id="")
        cascade = AliasState(tenant="acme", name="pair", version_id=NEWER)
        cascade.options.update({"kind": "cascade", "small": VERSION})
        await site.bus.publish(alias_state("acme", "pair"), cascade)
        with pytest.raises(InvalidInputError, match="cascade of two versions"):
            await create(site, model="pair")


async def test_without_an_inference_service_a_job_is_refused_and_says_what_to_set(
    trainer: Any,
) -> None:
    with pytest.raises(PreconditionError, match="set TRAINER_INFERENCE_ADDRESS"):
        await create(trainer)


async def test_defaults_are_written_out(site: Any, toy_rows: Any) -> None:
    async with evaluating(site, Learned(), role="serve"):
        await site.add_dataset(test=toy_rows(3))
        created = await create(site, slices=[{"by": "length"}])
        stored = await site.bus.last(
            job_requested("evaluate", "acme", created.job_id), JobRequested
        )

    spec = dict(stored.body.spec)
    assert (spec["split"], spec["max_rows"], spec["resamples"]) == ("test", 1000, 1000)
    assert (spec["max_new_tokens"], spec["seed"]) == (256, "1")
    assert [list(each["edges"]) for each in spec["slices"]] == [[200, 1000]]
    assert stored.body.needs.memory_bytes == 512 << 20


async def test_rows_that_are_no_questions_and_models_that_cannot_answer_end_the_job(
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

        state = await eventually(waits, within=30)

    assert state is not None
    assert (state.status, state.failures) == (JOB_STATUS_QUEUED, 0)
    assert state.error.code == "UNAVAILABLE"


class Pausing(Learned):
    """Answers so many questions, and then holds back until it may go on."""

    def __init__(self, first: int) -> None:
        super().__init__()
        self.first = first
        self.goes_on = asyncio.Event()

    async def _take(self, request: Any) -> str:
        version = await super()._take(request)
        if len(self.requests) > self.first:
            await self.goes_on.wait()
        return version


async def test_an_interrupted_evaluation_goes_on_with_the_versions_and_answers_that_it_has(
    site: Any, toy_rows: Any
) -> None:
    service = Pausing(first=12)
    async with evaluating(site, service, inference_at_once=2):
        await site.add_dataset(test=toy_rows(15))
        alias = AliasState(tenant="acme", name="base", version_id=VERSION)
        await site.bus.publish(alias_state("acme", "base"), alias)
        created = await create(site, model="base", measures=["accuracy"])
        await eventually(lambda: len(service.requests) > service.first + 1, within=30)
    # The service is told to stop while a question is open: the job goes back with its answers.
    state = await site.state(created.job_id)
    assert (state.status, state.preemptions) == (JOB_STATUS_QUEUED, 1)
    answered = state.checkpoint.step
    assert answered >= 10

    service.alias = NEWER
    service.goes_on.set()
    asked = len(service.requests)
    async with evaluating(site, service):
        state = await site.ended(created.job_id)
        assert state.status == JOB_STATUS_SUCCEEDED, state.error
        results = json.loads(await found(site, created.job_id))

    assert results["models"]["model"] == {"asked": "base", "version_id": VERSION}
    assert results["suites"][0]["measures"]["accuracy"]["model"]["rows"] == 15
    scored = [r for r in service.requests[asked:] if isinstance(r, inference.ScoreRequest)]
    assert len(scored) == 15 - answered
    assert {request.model for request in service.requests[asked:]} == {VERSION}
