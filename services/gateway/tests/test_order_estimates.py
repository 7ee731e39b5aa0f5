"""Estimates of evaluations and builds: what they rest on, what is refused, nothing is ordered."""

from collections.abc import Mapping
from typing import Any

import pytest
from gateway_support.grpc_client import CALL_SECONDS, grpc_stub
from gateway_support.house import ADAPTER, BASE, BUILD, House
from google.protobuf.json_format import ParseDict
from modelmill.gateway.v1.gateway_service_pb2 import (
    EstimateEvaluationRequest,
    EstimateOptimizationRequest,
)
from modelmill.jobs.v1.job_pb2 import (
    JOB_STATUS_RUNNING,
    JOB_STATUS_SUCCEEDED,
    JobResult,
    JobState,
)
from modelmill.optimizer_builder.v1.optimizer_builder_service_pb2 import BuildSpec
from modelmill.trainer.v1.evaluation_pb2 import EvaluationSpec
from modelmill_bus.subjects import job_state
from modelmill_testkit.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

EVALUATIONS, BUILDS = "/v1/evaluations", "/v1/optimizations"
KIND = {EVALUATIONS: "evaluate", BUILDS: "optimize"}
ASKED = {"model": "default", "dataset_id": "ds-x"}
TASKS = [{"config": "task: a", "data_file_ids": ["file-1"]}]
FIGURES = {"bytes": 900_000.0, "test_rows": 20.0}
BEGUN = 1_795_392_000


def measured(rows: Mapping[str, int], *versions: str) -> dict[str, Any]:
    """The summary of an evaluation with so many rows by suite."""
    sides = zip(("model", "compare_to"), versions, strict=False)
    return {
        "models": {side: {"asked": version, "version_id": version} for side, version in sides},
        "suites": {name: {"rows": count} for name, count in rows.items()},
    }


async def estimated(house: House, tenant: str, path: str, **body: Any) -> dict[str, Any]:
    answer = await house.http(tenant=tenant).post(f"{path}/estimate", json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def done(
    house: House, tenant: str, path: str, summary: dict[str, Any], *, seconds: int, **body: Any
) -> str:
    """A job that took so long; its id."""
    client = house.http(tenant=tenant)
    job_id = str((await client.post(path, json=body)).json()["id"])
    result = ParseDict({"digest": "sha256:1", "summary": summary}, JobResult())
    for status, moment in ((JOB_STATUS_RUNNING, 0), (JOB_STATUS_SUCCEEDED, seconds)):
        is_end = status == JOB_STATUS_SUCCEEDED
        state = JobState(
            **{"job_id": job_id, "kind": KIND[path], "tenant": tenant, "status": status},
            **{"attempt": 1, "fence": 1, "result": result if is_end else None},
        )
        state.updated_at.FromSeconds(BEGUN + moment)
        await house.bus.publish(job_state(job_id), state)

    async def has_ended() -> bool:
        found = (await client.get(f"/v1/jobs/{job_id}")).json()
        return bool(found["status"] == "succeeded")

    await eventually(has_ended)
    return job_id


async def test_time_of_an_evaluation_is_not_invented(house: House):
    found = await estimated(house, "new", EVALUATIONS, **ASKED)

    (note,) = found.pop("notes")
    assert found.pop("note_codes") == ["no_earlier_evaluation"]
    assert note.startswith("time is not known: no evaluation of these models")
    assert found == {
        **{"object": "evaluation.estimate", "model": "default", "compare_to": None},
        **{"dataset_id": "ds-x", "rows": 88, "most_rows": 88, "seconds": None},
        **{"earlier_job_ids": [], "needed_memory_bytes": 512 << 20},
        **{"worker_memory_bytes": 4 << 30, "waiting_reason": None},
    }
    assert (await house.http(tenant="new").get("/v1/jobs")).json()["data"] == []


async def test_an_evaluation_takes_as_long_as_earlier_ones_of_the_same_versions(house: House):
    of_other_rows = measured({"dataset": 44}, BUILD)
    first, second = [
        await done(house, "again", EVALUATIONS, of_other_rows, seconds=it, **ASKED)
        for it in (30, 50)
    ]
    for summary, other in (
        (measured({"dataset": 44}, BASE), {}),  # the alias was at another version then
        (measured({"dataset": 44}, BUILD, BASE), {"compare_to": BASE}),
        (of_other_rows, {"measures": ["accuracy"]}),
        (of_other_rows, {"max_new_tokens": 9}),
        (measured({"dataset": 44, "a": 5}, BUILD), {"tasks": TASKS, "max_rows": 50}),
    ):
        await done(house, "again", EVALUATIONS, summary, seconds=999, **ASKED | other)
    await done(house, "stranger", EVALUATIONS, of_other_rows, seconds=999, **ASKED)

    found = await estimated(house, "again", EVALUATIONS, **ASKED)

    assert found["earlier_job_ids"] == [second, first]
    # Half of 40 s for the start, the other half for 88 rows in place of 44.
    assert found["seconds"] == pytest.approx(60.0)
    assert found["notes"] == []
    named = await estimated(house, "again", EVALUATIONS, model=BUILD, dataset_id="ds-x")
    assert named["seconds"] == pytest.approx(60.0)


async def test_rows_of_tasks_are_known_once_they_were_read(house: House):
    asked = {"model": "default", "tasks": TASKS, "max_rows": 50}
    before = await estimated(house, "tasks", EVALUATIONS, **ASKED | asked)
    summary = measured({"dataset": 10, "a": 30}, BUILD)
    await done(house, "tasks", EVALUATIONS, summary, seconds=40, **ASKED | asked)
    after = await estimated(house, "tasks", EVALUATIONS, **ASKED | asked)
    fewer = await estimated(house, "tasks", EVALUATIONS, **ASKED | asked | {"max_rows": 5})

    assert (before["rows"], before["most_rows"], before["seconds"]) == (None, 138, None)
    assert before["note_codes"][-1] == "task_rows"
    assert before["notes"][-1] == "rows of tasks are not known before their files are read"
    assert (after["rows"], after["seconds"]) == (118, pytest.approx(20 + 20 * 118 / 40))
    assert (fewer["rows"], fewer["most_rows"], fewer["seconds"]) == (None, 93, None)


async def test_time_of_a_build_is_not_invented_and_its_size_follows_from_the_weights(house: House):
    found = await estimated(house, "new", BUILDS, model="tiny")

    assert found == {
        **{"object": "optimization.estimate", "model": BASE, "target_form": "openvino-int8"},
        **{"test_rows": 0, "built_bytes": 1_000_000, "seconds": None, "most_seconds": None},
        **{"earlier_job_ids": [], "needed_memory_bytes": 2 << 30},
        **{"worker_memory_bytes": 4 << 30, "waiting_reason": None},
        "notes": ["time is not known: no such build of a version of this base has succeeded yet"],
        "note_codes": ["no_earlier_build"],
    }
    assert (await house.http(tenant="new").get("/v1/jobs")).json()["data"] == []


async def test_a_build_takes_as_long_as_earlier_ones_of_the_same_form_and_base(house: House):
    await house.say_model("mv-else", tenant="builds", name="else", form="safetensors")
    scored = {"dataset_id": "ds-x"}
    job_id = await done(house, "builds", BUILDS, FIGURES, seconds=40, model=ADAPTER, **scored)
    plain = await done(house, "builds", BUILDS, FIGURES, seconds=33, model=BASE)
    objective = {"objective": {"size_mb": 1}}
    await done(house, "builds", BUILDS, FIGURES, seconds=999, model=BASE, **scored, **objective)
    await done(house, "builds", BUILDS, FIGURES, seconds=999, model="mv-else", **scored)

    found = await estimated(house, "builds", BUILDS, model="tiny", **scored)
    unscored = await estimated(house, "builds", BUILDS, model="tiny")

    assert (found["earlier_job_ids"], found["test_rows"]) == ([job_id], 40)
    # Half of 40 s for what is not scoring, the other half for 40 rows in place of 20.
    assert found["seconds"] == pytest.approx(60.0)
    assert (found["built_bytes"], found["notes"]) == (900_000, [])
    assert (unscored["earlier_job_ids"], unscored["seconds"]) == ([plain], pytest.approx(33.0))


async def test_a_search_tells_its_budget_and_no_size(house: House):
    body = {"model": "tiny", "objective": {"size_mb": 1}, "budget_seconds": 600}

    found = await estimated(house, "search", BUILDS, **body)

    assert (found["target_form"], found["built_bytes"], found["seconds"]) == (None, None, None)
    assert found["most_seconds"] == 600
    assert found["notes"][0].startswith("a search builds several forms")
    assert found["note_codes"] == ["many_forms", "no_earlier_build"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (EVALUATIONS, {"model": "default", "dataset_id": "ds-x", "measures": ["vibes"]}),
        (EVALUATIONS, {"model": "default"}),
        (EVALUATIONS, {"model": "nobody", "dataset_id": "ds-x"}),
        (BUILDS, {"model": "tiny", "target_form": "gguf-q9"}),
        (BUILDS, {"model": "nobody"}),
    ],
)
async def test_what_an_order_is_refused_for_an_estimate_is_too(
    house: House, path: str, body: dict[str, Any]
):
    client = house.http(tenant="wrong")

    refused, ordered = [await client.post(each, json=body) for each in (f"{path}/estimate", path)]

    assert refused.status_code == ordered.status_code >= 400
    said = [each.json()["error"] for each in (refused, ordered)]
    assert said[0]["message"] == said[1]["message"]


async def test_the_same_is_told_over_grpc(house: House):
    shown = await estimated(house, "apis", EVALUATIONS, **ASKED)
    build = await estimated(house, "apis", BUILDS, model="tiny", dataset_id="ds-x")

    async with grpc_stub(house, tenant="apis") as stub:
        found = await stub.EstimateEvaluation(
            EstimateEvaluationRequest(spec=EvaluationSpec(**ASKED)), timeout=CALL_SECONDS
        )
        built = await stub.EstimateOptimization(
            EstimateOptimizationRequest(
                spec=BuildSpec(source_version_id="tiny", dataset_id="ds-x")
            ),
            timeout=CALL_SECONDS,
        )

    assert (found.rows, found.most_rows, list(found.notes)) == (88, 88, shown["notes"])
    assert list(found.note_codes) == shown["note_codes"]
    assert not found.HasField("seconds")
    assert found.needs.memory_bytes == shown["needed_memory_bytes"]
    assert (built.test_rows, built.built_bytes) == (build["test_rows"], build["built_bytes"])
    assert (built.worker.memory_bytes, list(built.notes)) == (4 << 30, build["notes"])
