"""Datasets, training jobs and what becomes of them, as the bus tells it."""

from typing import Any

import httpx
import pytest
from gateway_support.house import ADAPTER, BASE, BUILD, TUNED, House
from gateway_support.job_orders import MAPPING, order, say_state, upload
from modelmill.jobs.v1.job_pb2 import (
    JOB_STATUS_FAILED,
    JOB_STATUS_RUNNING,
    JOB_STATUS_SUCCEEDED,
    JOB_STATUS_UNSPECIFIED,
    JobError,
    JobProgress,
    JobResult,
    JobStatus,
)
from modelmill.registry.v1.model_events_pb2 import DatasetReady
from modelmill_bus.subjects import DATASET_READY, job_progress
from modelmill_gateway.domain.routes import ROUTES
from modelmill_gateway.entrypoints.schemas.jobs import STATUS
from modelmill_service_kit.errors import InvalidInputError
from modelmill_testkit.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_every_state_of_ours_has_openais_name():
    assert STATUS.keys() == {
        number for number in JobStatus.values() if number != JOB_STATUS_UNSPECIFIED
    }


async def test_a_dataset_is_ordered_shown_in_the_making_and_shown_ready(house: House):
    client = house.http(tenant="rows")
    file = await upload(client)
    body = {"file_id": file, "name": "words", "mapping": MAPPING, "max_test_rows": 200}
    accepted = await client.post("/v1/datasets", json=body)

    assert accepted.status_code == 202
    dataset_id, job_id = accepted.json()["id"], accepted.json()["job_id"]
    spec = house.data_prep.specs[-1]
    assert (spec.mapping.user_template, spec.max_test_rows) == ("{q}", 200)
    making = (await client.get(f"/v1/datasets/{dataset_id}")).json()
    assert (making["status"], making["job_id"], making["file_id"]) == ("queued", job_id, file)
    job = (await client.get(f"/v1/jobs/{job_id}")).json()
    assert (job["kind"], job["requested_by"], job["spec"]["name"]) == ("dataset", "ada", "words")

    ready = DatasetReady(dataset_id=dataset_id, tenant="rows", name="words", counts={"train": 3})
    await house.bus.publish(DATASET_READY, ready)

    async def shown() -> bool:
        found = (await client.get(f"/v1/datasets/{dataset_id}")).json()
        return found["status"] == "ready" and found["counts"] == {"train": 3}

    await eventually(shown)
    listed = (await client.get("/v1/datasets")).json()["data"]
    assert [dataset["id"] for dataset in listed] == [dataset_id]


async def test_training_waits_for_a_dataset_that_is_still_made(house: House):
    client = house.http(tenant="waits")
    body = {"file_id": await upload(client), "mapping": MAPPING}
    accepted = (await client.post("/v1/datasets", json=body)).json()
    job = (await order(client, training_file=accepted["id"])).json()

    spec = house.trainer.specs[-1]
    assert (spec.dataset_id, spec.dataset_job_id) == (accepted["id"], accepted["job_id"])
    assert (spec.base_version_id, spec.name) == (BASE, "tiny-tuned")
    assert job["training_file"] == body["file_id"]


async def test_one_file_has_one_dataset_however_often_it_is_trained_on(house: House):
    client = house.http(tenant="twice")
    file = await upload(client)
    refused = await order(client, training_file=file, hyperparameters={"learning_rate": 5})
    await order(client, training_file=file)
    await order(client, training_file=file)

    assert refused.status_code == 422
    first, second = house.trainer.specs[-2:]
    assert first.dataset_id == second.dataset_id
    jobs = (await client.get("/v1/jobs")).json()["data"]
    assert sorted(job["kind"] for job in jobs) == ["dataset", "train", "train"]


async def test_a_file_of_other_rows_is_refused_with_the_way_to_train_on_it(house: House):
    client = house.http(tenant="tables")
    file = await upload(client)
    house.data_prep.refusal = InvalidInputError(
        "unknown column 'messages'; the file has 'question'"
    )
    try:
        refused = await order(client, training_file=file)
    finally:
        house.data_prep.refusal = None

    assert refused.status_code == 422
    assert refused.json()["error"]["message"] == (
        "training_file: unknown column 'messages'; the file has 'question'. Make a dataset of the"
        " file whose `mapping` says what a row becomes (POST /v1/datasets, shown by"
        " /v1/datasets/preview), and give its id here"
    )


@pytest.mark.parametrize(
    ("field", "words"),
    [("learning_rate", 'a number or "auto" or "search"'), ("n_epochs", 'a number or "auto"')],
)
async def test_a_word_that_is_none_in_the_place_of_a_number_is_refused_with_those_that_are(
    house: House, field: str, words: str
):
    refused = await order(house.http(), training_file="file-0", hyperparameters={field: "fast"})

    assert refused.status_code == 422
    assert refused.json()["error"]["errors"] == [f"hyperparameters.{field}: must be {words}"]


async def test_a_repeated_key_is_one_job_and_another_order_under_it_is_refused(house: House):
    client = house.http(tenant="keys")
    file = await upload(client)
    client.headers["idempotency-key"] = "order-1"
    first = await order(client, training_file=file)
    again = await order(client, training_file=file)
    other = await order(client, training_file=file, suffix="other")

    assert first.json()["id"] == again.json()["id"]
    assert other.status_code == 422
    assert other.json()["error"]["code"] == "already_exists"


async def test_a_model_that_is_not_there_cannot_be_trained(house: House):
    answer = await order(house.http(), model="nobody")

    assert answer.status_code == 404
    assert "nobody" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("model", "adapter", "name"),
    [
        (BASE, "", "tiny-tuned"),
        (BUILD, "", "tiny-tuned"),
        ("default", "", "tiny-tuned"),
        (ADAPTER, ADAPTER, "kinds-tuned"),
        (TUNED, ADAPTER, "kinds-tuned"),
        ("kinds", ADAPTER, "kinds-tuned"),
    ],
)
async def test_training_goes_on_from_the_adapter_that_a_name_or_a_build_stands_for(
    house: House, model: str, adapter: str, name: str
):
    job = (await order(house.http(), model=model)).json()

    spec = house.trainer.specs[-1]
    assert (spec.base_version_id, spec.adapter_version_id, spec.name) == (BASE, adapter, name)
    assert job["model"] == (adapter or BASE)


async def test_a_teacher_that_is_read_may_be_an_adapter(house: House):
    accepted = await order(house.http(), objective="distillation", teacher=TUNED)

    assert accepted.status_code == 200
    assert house.trainer.specs[-1].teacher_version_id == ADAPTER


@pytest.mark.parametrize("source", ["ds-nobody", "file-nobody", "rows.jsonl"])
async def test_an_unknown_source_is_named(house: House, source: str):
    answer = await order(house.http(), training_file=source)

    assert answer.status_code == (422 if source == "rows.jsonl" else 404)
    assert source in answer.text or "training_file" in answer.text


async def test_a_job_is_followed_from_its_progress_to_its_model(house: House):
    client = house.http(tenant="follower")
    job_id = (await order(client)).json()["id"]
    await say_state(house, job_id, "follower", status=JOB_STATUS_RUNNING, attempt=1)
    await say_progress(house, job_id)

    async def running() -> dict[str, object] | None:
        job = (await client.get(f"/v1/fine_tuning/jobs/{job_id}")).json()
        # State and progress come by two streams, in any order.
        return job if job["progress"] and job["status"] == "running" else None

    job = await eventually(running)
    assert job["progress"]["done"] == 5
    assert job["estimated_finish"] > job["created_at"]
    assert job["fine_tuned_model"] is None

    result = JobResult(version_id="mv-new", digest="sha256:1")
    result.summary.update({"train_tokens": 4000})
    await say_state(
        house, job_id, "follower", status=JOB_STATUS_SUCCEEDED, attempt=1, result=result
    )

    async def done() -> dict[str, object] | None:
        job = (await client.get(f"/v1/fine_tuning/jobs/{job_id}")).json()
        return job if job["status"] == "succeeded" else None

    job = await eventually(done)
    assert (job["fine_tuned_model"], job["trained_tokens"]) == ("mv-new", 4000)

    everything = await events_in_two_pages(client, job_id)
    assert {event["object"] for event in everything} == {"fine_tuning.job.event"}
    assert {event["type"] for event in everything} == {"message", "metrics"}
    figures = next(event for event in everything if event["type"] == "metrics")
    told = {"phase": "train", "step": 5, "total_steps": 20, "loss": 1.5}
    assert told.items() <= figures["data"].items()
    assert {"unit", "eta_seconds"} <= figures["data"].keys()


async def say_progress(house: House, job_id: str) -> None:
    progress = JobProgress(
        job_id=job_id,
        fence=10**6,
        phase="train",
        done=5,
        total=20,
        unit="step",
        metrics={"loss": 1.5},
        eta_seconds=30,
    )
    progress.at.GetCurrentTime()
    await house.bus.publish(job_progress(job_id), progress)


async def events_in_two_pages(client: httpx.AsyncClient, job_id: str) -> list[dict[str, Any]]:
    """All events of a job, read as two and the rest."""
    path = f"/v1/fine_tuning/jobs/{job_id}/events"
    first = (await client.get(f"{path}?limit=2")).json()
    assert first["has_more"]
    assert len(first["data"]) == 2
    rest = (await client.get(f"{path}?after={first['data'][-1]['id']}")).json()
    assert not rest["has_more"]
    return [*first["data"], *rest["data"]]


async def test_a_failed_job_shows_its_owner_why_and_the_last_lines_of_its_log(
    house: House, caplog: pytest.LogCaptureFixture
):
    client = house.http(tenant="unlucky")
    job_id = (await order(client)).json()["id"]
    log = "\n".join([f"line {number}" for number in range(30)] + ["row: \N{SNOWMAN}" + "x" * 9000])
    error = JobError(code="NO_VALID_ROWS", message="no row is valid", remedy="Fix", log_tail=log)
    await say_state(house, job_id, "unlucky", status=JOB_STATUS_FAILED, error=error)

    async def failed() -> httpx.Response | None:
        answer = await client.get(f"/v1/fine_tuning/jobs/{job_id}")
        return answer if answer.json()["status"] == "failed" else None

    answer = await eventually(failed)
    shown = answer.json()["error"]
    assert (shown["code"], shown["remedy"]) == ("NO_VALID_ROWS", "Fix")
    assert log.endswith(shown["log_tail"])
    assert len(shown["log_tail"].encode()) == 4096
    events = await client.get(f"/v1/fine_tuning/jobs/{job_id}/events")
    assert events.json()["data"][0]["level"] == "error"
    assert events.json()["data"][0]["data"]["error"] == shown
    assert "xxx" not in caplog.text


async def test_jobs_of_other_kinds_are_not_training_jobs(house: House):
    client = house.http(tenant="kinds")
    body = {"file_id": await upload(client), "mapping": MAPPING}
    job_id = (await client.post("/v1/datasets", json=body)).json()["job_id"]

    assert (await client.get(f"/v1/jobs/{job_id}")).status_code == 200
    assert (await client.get(f"/v1/fine_tuning/jobs/{job_id}")).status_code == 404
    assert (await client.get("/v1/fine_tuning/jobs")).json()["data"] == []
    assert (await client.get("/v1/jobs?kind=train")).json()["data"] == []
    of_kind = (await client.get("/v1/jobs?kind=dataset")).json()["data"]
    assert [job["id"] for job in of_kind] == [job_id]
    assert (await client.get("/v1/jobs?kind=other")).status_code == 400


async def test_jobs_are_found_by_the_key_under_which_they_were_ordered(house: House):
    client = house.http(tenant="keyed")
    body = {"file_id": await upload(client), "mapping": MAPPING}
    headers = {"idempotency-key": "mine"}
    job_id = (await client.post("/v1/datasets", json=body, headers=headers)).json()["job_id"]
    await client.post("/v1/datasets", json=body)

    found = (await client.get("/v1/jobs?idempotency_key=mine")).json()["data"]
    assert [job["id"] for job in found] == [job_id]
    assert (await client.get("/v1/jobs?idempotency_key=other")).json()["data"] == []
    other = house.http(tenant="another")
    assert (await other.get("/v1/jobs?idempotency_key=mine")).json()["data"] == []


async def test_every_route_that_creates_takes_an_idempotency_key():
    creating = {route.name for route in ROUTES if route.name.startswith("create_")}
    assert creating == {
        "create_batch",
        "create_eval",
        "create_eval_run",
        "create_dataset",
        "create_evaluation",
        "create_experiment",
        "create_fine_tuning",
        "create_optimization",
    }
