"""Jobs are steered, builds are ordered, and files and datasets are deleted."""

import httpx
import openai
import pytest
from gateway_support.house import ADAPTER, BASE, BUILD, House
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_FAILED, JOB_STATUS_SUCCEEDED, JobState
from modelmill.registry.v1.model_events_pb2 import DatasetReady
from modelmill_bus.subjects import DATASET_READY, job_state
from modelmill_testkit.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def upload(client: httpx.AsyncClient, purpose: str = "fine-tune") -> str:
    form = {"files": {"file": ("a.jsonl", b"{}")}, "data": {"purpose": purpose}}
    return str((await client.post("/v1/files", **form)).json()["id"])


async def cancel_all(client: httpx.AsyncClient) -> None:
    for job in (await client.get("/v1/jobs")).json()["data"]:
        await client.post(f"/v1/jobs/{job['id']}/cancel")


async def test_the_sdk_pauses_resumes_and_cancels_a_training_job(house: House):
    client = house.openai(tenant="steers")
    file = await client.files.create(file=("a.jsonl", b"{}"), purpose="fine-tune")
    jobs = client.fine_tuning.jobs
    job_id = (await jobs.create(model="tiny", training_file=file.id)).id

    async def status() -> str:
        return (await jobs.retrieve(job_id)).status

    for act, wanted in (
        (jobs.pause, "paused"),
        (jobs.resume, "queued"),
        (jobs.cancel, "cancelled"),
    ):
        assert (await act(job_id)).id == job_id

        async def has_come_true(wanted: str = wanted) -> bool:
            return await status() == wanted

        await eventually(has_come_true)
    for act in (jobs.resume, jobs.pause):
        with pytest.raises(openai.ConflictError, match=r"is cancelled, for good\. Create a new"):
            await act(job_id)
    said = [event.message async for event in jobs.list_events(job_id)]
    assert {"paused", "cancelled"} <= set(said)


async def test_a_desired_state_is_shown_at_once_and_repeating_it_changes_nothing(house: House):
    client = house.http(tenant="steering")
    body = {"file_id": await upload(client), "mapping": {"messages_column": "messages"}}
    job_id = (await client.post("/v1/datasets", json=body)).json()["job_id"]

    for _ in range(2):
        job = (await client.post(f"/v1/jobs/{job_id}/cancel")).json()
        assert "cancel" in (job["desired_state"], job["status"].removesuffix("led"))


async def test_jobs_of_some_statuses_alone_are_listed(house: House):
    client = house.http(tenant="filters")
    body = {"file_id": await upload(client), "mapping": {"messages_column": "messages"}}
    stopped, waiting = [
        (await client.post("/v1/datasets", json=body | {"name": name})).json()["job_id"]
        for name in ("first", "second")
    ]
    await client.post(f"/v1/jobs/{stopped}/cancel")

    async def listed(query: str) -> list[str]:
        found = await client.get(f"/v1/jobs?{query}")
        return [job["id"] for job in found.json()["data"]]

    async def is_cancelled() -> bool:
        return await listed("status=cancelled") == [stopped]

    await eventually(is_cancelled)
    assert await listed("status=queued") == [waiting]
    assert await listed("status=queued,cancelled") == [waiting, stopped]
    assert await listed("status=failed&status=running") == []
    refused = await client.get("/v1/jobs?status=sleeping")
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "status")


async def test_a_job_of_any_kind_is_paused_and_goes_on(house: House):
    client = house.http(tenant="pauses")
    body = {"file_id": await upload(client), "mapping": {"messages_column": "messages"}}
    path = f"/v1/jobs/{(await client.post('/v1/datasets', json=body)).json()['job_id']}"

    async def stands(status: str) -> bool:
        job = (await client.get(path)).json()
        return (job["status"], job["queue_position"] is None) == (status, status == "paused")

    for action, status in (("pause", "paused"), ("resume", "queued")):
        assert (await client.post(f"{path}/{action}")).status_code == 200
        await eventually(lambda status=status: stands(status))


async def test_a_job_that_has_ended_is_not_cancelled(house: House):
    client = house.http(tenant="ended")
    order = {"model": "tiny", "training_file": await upload(client)}
    job_id = (await client.post("/v1/fine_tuning/jobs", json=order)).json()["id"]
    state = JobState(job_id=job_id, kind="train", tenant="ended", status=JOB_STATUS_SUCCEEDED)
    state.updated_at.GetCurrentTime()
    await house.bus.publish(job_state(job_id), state)
    for path in (f"/v1/jobs/{job_id}", f"/v1/fine_tuning/jobs/{job_id}"):
        refused = await client.post(f"{path}/cancel")

        assert refused.status_code == 409
        assert "succeeded" in refused.json()["error"]["message"]


async def test_nobody_steers_what_is_not_theirs_or_of_another_kind(house: House):
    owner, stranger = house.http(tenant="owner"), house.http(tenant="stranger")
    body = {"file_id": await upload(owner), "mapping": {"messages_column": "messages"}}
    job_id = (await owner.post("/v1/datasets", json=body)).json()["job_id"]

    for client, path in (
        (stranger, f"/v1/jobs/{job_id}"),
        (owner, f"/v1/fine_tuning/jobs/{job_id}"),
        (owner, f"/v1/optimizations/{job_id}"),
        (owner, "/v1/jobs/job-nobody"),
    ):
        assert (await client.post(f"{path}/cancel")).status_code == 404, path
    assert (await owner.get(f"/v1/jobs/{job_id}")).json()["desired_state"] == "run"


@pytest.mark.parametrize(
    ("model", "source"),
    [("kinds", ADAPTER), (ADAPTER, ADAPTER), (BUILD, BASE), ("default", BASE), (BASE, BASE)],
)
async def test_a_build_is_ordered_by_any_name_of_its_source(house: House, model: str, source: str):
    client = house.http(tenant="builds")
    accepted = await client.post("/v1/optimizations", json={"model": model})

    assert accepted.status_code == 202
    build = accepted.json()
    assert (build["source_version_id"], build["target_form"]) == (source, "openvino-int8")
    assert build["version_id"] is None
    assert house.optimizer_builder.specs[-1].source_version_id == source


async def test_builds_are_shown_repeated_by_key_and_cancelled(house: House):
    client = house.http(tenant="builder")
    order = {"model": "kinds", "dataset_id": "ds-x", "max_accuracy_loss": 0.1}
    key = {"idempotency-key": "build-1"}
    first = (await client.post("/v1/optimizations", json=order, headers=key)).json()
    again = (await client.post("/v1/optimizations", json=order, headers=key)).json()
    listed = (await client.get("/v1/optimizations")).json()["data"]

    assert first["id"] == again["id"]
    assert [build["id"] for build in listed] == [first["id"]]
    assert house.optimizer_builder.specs[-1].max_accuracy_loss == 0.1

    path = f"/v1/optimizations/{first['id']}"
    assert (await client.post(f"{path}/cancel")).status_code == 200

    async def cancelled() -> bool:
        return (await client.get(path)).json()["status"] == "cancelled"

    await eventually(cancelled)


@pytest.mark.parametrize(
    ("order", "status", "named"),
    [
        ({"model": "nobody"}, 404, "nobody"),
        ({"model": "kinds", "target_form": "gguf"}, 422, "gguf"),
        ({"model": "kinds", "max_accuracy_loss": 2, "odd": 1}, 422, "odd"),
        ({}, 422, "model"),
    ],
)
async def test_a_build_that_cannot_be_made_is_refused_by_name(
    house: House, order: dict[str, object], status: int, named: str
):
    answer = await house.http().post("/v1/optimizations", json=order)

    assert answer.status_code == status
    assert named in answer.json()["error"]["message"]


async def test_a_search_for_an_objective_is_ordered_without_a_form(house: House):
    client = house.http(tenant="seeker")
    order = {"model": "kinds", "objective": {"p95_ms": 200}, "load": {"in_flight": 8}}

    accepted = await client.post("/v1/optimizations", json=order | {"budget_seconds": 90})

    assert accepted.status_code == 202
    search = accepted.json()
    assert (search["target_form"], search["objective"]) == (None, {"p95_ms": 200})
    spec = house.optimizer_builder.specs[-1]
    assert (spec.target_form, spec.objective.p95_ms) == ("", 200)
    assert (spec.load.prompt_tokens, spec.load.in_flight, spec.budget_seconds) == (128, 8, 90)


@pytest.mark.parametrize(
    ("objective", "named"),
    [
        ({"p95": 200}, "objective.p95: unknown field. Did you mean 'p95_ms'?"),
        ({"p95_ms": 0}, "objective.p95_ms"),
        ({}, "exactly one of p95_ms"),
        ({"p95_ms": 1, "size_mb": 1}, "exactly one of p95_ms"),
    ],
)
async def test_an_objective_that_means_nothing_is_refused_by_name(
    house: House, objective: dict[str, float], named: str
):
    order = {"model": "kinds", "objective": objective}

    answer = await house.http().post("/v1/optimizations", json=order)

    assert answer.status_code == 422
    assert named in answer.json()["error"]["message"]


async def test_a_deleted_file_is_gone(house: House):
    client = house.openai(tenant="deletes")
    file = await client.files.create(file=("a.jsonl", b"{}"), purpose="fine-tune")
    deleted = await client.files.delete(file.id)

    assert (deleted.id, deleted.object, deleted.deleted) == (file.id, "file", True)
    for act in (client.files.retrieve, client.files.delete):
        with pytest.raises(openai.NotFoundError):
            await act(file.id)


async def test_files_are_listed_by_purpose(house: House):
    client = house.openai(tenant="purposes")
    await upload(house.http(tenant="purposes"), purpose="batch")
    tuning = await upload(house.http(tenant="purposes"))

    assert [file.id async for file in client.files.list(purpose="fine-tune")] == [tuning]
    assert [file.id async for file in client.files.list(purpose="vision")] == []


async def test_a_deleted_dataset_is_gone_and_its_file_gets_another_one(house: House):
    client = house.http(tenant="datasets")
    order = {"model": "tiny", "training_file": await upload(client)}
    await client.post("/v1/fine_tuning/jobs", json=order)
    first = house.trainer.specs[-1].dataset_id
    await house.bus.publish(DATASET_READY, DatasetReady(dataset_id=first, tenant="datasets"))

    async def ready() -> bool:
        return (await client.get(f"/v1/datasets/{first}")).json()["status"] == "ready"

    await eventually(ready)
    await cancel_all(client)
    deleted = await client.delete(f"/v1/datasets/{first}")

    assert deleted.json() == {"id": first, "object": "dataset", "deleted": True}
    assert (await client.get(f"/v1/datasets/{first}")).status_code == 404
    assert (await client.get("/v1/datasets")).json()["data"] == []
    gone = await client.post("/v1/fine_tuning/jobs", json=order | {"training_file": first})
    assert gone.status_code == 404
    await client.post("/v1/fine_tuning/jobs", json=order)
    assert house.trainer.specs[-1].dataset_id != first


async def test_what_a_job_needs_is_not_deleted_until_the_job_has_ended(house: House):
    client = house.http(tenant="needs")
    file_id = await upload(client)
    order = {"file_id": file_id, "mapping": {"messages_column": "messages"}}
    made = (await client.post("/v1/datasets", json=order)).json()
    ready = DatasetReady(dataset_id="ds-needs", tenant="needs")
    await house.bus.publish(DATASET_READY, ready)
    training = {"model": "tiny", "training_file": "ds-needs"}

    async def ordered() -> str:
        return str((await client.post("/v1/fine_tuning/jobs", json=training)).json().get("id", ""))

    await eventually(ordered)
    for path, job in (
        (f"/v1/files/{file_id}", made["job_id"]),
        ("/v1/datasets/ds-needs", "ftjob-"),
    ):
        refused = await client.delete(path)
        assert refused.status_code == 409
        assert f"in use by job {job}" in refused.json()["error"]["message"]
    await cancel_all(client)
    for path in (f"/v1/files/{file_id}", "/v1/datasets/ds-needs"):
        assert (await client.delete(path)).status_code == 200


async def test_a_failed_job_whose_file_was_deleted_since_is_not_resumed(house: House):
    client = house.http(tenant="mourns")
    file_id = await upload(client)
    order = {"file_id": file_id, "mapping": {"messages_column": "messages"}}
    job_id = (await client.post("/v1/datasets", json=order)).json()["job_id"]
    state = JobState(job_id=job_id, kind="dataset", tenant="mourns", status=JOB_STATUS_FAILED)
    state.updated_at.GetCurrentTime()
    await house.bus.publish(job_state(job_id), state)

    async def deleted() -> bool:
        return (await client.delete(f"/v1/files/{file_id}")).status_code == 200

    await eventually(deleted)
    refused = await client.post(f"/v1/jobs/{job_id}/resume")
    assert refused.status_code == 409
    assert f"{file_id} was deleted. Create a new job" in refused.json()["error"]["message"]


async def test_a_dataset_that_never_was_is_not_to_be_deleted(house: House):
    assert (await house.http().delete("/v1/datasets/ds-nobody")).status_code == 404
