"""Calls against a running gateway, by both halves of the client."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gateway_support.house import ADAPTER, BASE, BUILD, TUNED, House
from gateway_support.job_orders import MAPPING, say_state
from modelmill.jobs.v1.job_pb2 import (
    JOB_STATUS_FAILED,
    JOB_STATUS_RUNNING,
    JOB_STATUS_SUCCEEDED,
    JobError,
)
from modelmill_client import ApiStatusError, JobFailedError, WaitTimeoutError
from modelmill_testkit.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

Connect = Callable[..., Any]
ROWS = b'{"q": "a", "a": "b"}\n' * 1000


async def test_a_file_is_uploaded_listed_read_and_deleted(connect: Connect, tmp_path: Path):
    client, source = connect(tenant="of-files"), tmp_path / "rows.jsonl"
    source.write_bytes(ROWS)

    sent = await client.files.upload(source)
    assert (sent["filename"], sent["bytes"], sent["purpose"]) == (
        source.name,
        len(ROWS),
        "fine-tune",
    )
    assert sent["id"] in [file["id"] async for file in client.files.list(purpose="fine-tune")]
    assert await client.files.retrieve(sent["id"]) == sent

    assert await client.files.content(sent["id"]) == ROWS
    target = tmp_path / "copy.jsonl"
    await client.files.download(sent["id"], target)
    assert target.read_bytes() == ROWS

    assert (await client.files.delete(sent["id"]))["deleted"] is True
    with pytest.raises(ApiStatusError, match="404") as refused:
        await client.files.retrieve(sent["id"])
    assert refused.value.code == "not_found"
    assert not refused.value.may_pass


async def test_a_file_may_have_an_expiry(connect: Connect):
    client = connect()
    kept = await client.files.upload(b"{}", name="a.jsonl")
    brief = await client.files.upload(b"{}", name="b.jsonl", expires_after_seconds=3600)

    assert kept["expires_at"] is None
    assert brief["expires_at"] == brief["created_at"] + 3600


async def test_a_list_is_read_page_by_page_to_its_end(connect: Connect, half: str):
    client = connect(tenant=f"many-{half}")
    sent = [(await client.files.upload(b"{}", name=f"{at}.jsonl"))["id"] for at in range(5)]

    listed = [file["id"] async for file in client.files.list(page_size=2, order="asc")]
    assert listed == sent
    after = client.files.list(page_size=2, order="asc", after=sent[2])
    assert [file["id"] async for file in after] == sent[3:]


async def test_an_order_that_is_repeated_with_its_key_gives_the_same_job(connect: Connect):
    client = connect()
    file = await client.files.upload(ROWS, name="rows.jsonl")
    order = {"model": "tiny", "training_file": file["id"]}

    first = await client.fine_tuning.jobs.create(**order, idempotency_key=file["id"])
    again = await client.fine_tuning.jobs.create(**order, idempotency_key=file["id"])
    other = await client.fine_tuning.jobs.create(**order)

    assert first["id"] == again["id"] != other["id"]
    assert (await client.fine_tuning.jobs.retrieve(first["id"]))["object"] == "fine_tuning.job"
    listed = {job["id"] async for job in client.fine_tuning.jobs.list()}
    assert {first["id"], other["id"]} <= listed


async def test_an_estimate_orders_nothing(connect: Connect, half: str):
    client = connect(tenant=f"estimates-{half}")
    file = await client.files.upload(ROWS, name="rows.jsonl")

    found = await client.fine_tuning.jobs.estimate(model="tiny", training_file=file["id"])

    assert found["trained_tokens"] == 8000
    evaluation = await client.evaluations.estimate(model="default", dataset_id="ds-1")
    assert (evaluation["rows"], evaluation["seconds"]) == (88, None)
    build = await client.optimizations.estimate(model="tiny")
    assert (build["built_bytes"], build["seconds"]) == (1_000_000, None)
    assert [job async for job in client.jobs.list()] == []


async def test_a_dataset_is_ordered_and_what_is_wrong_with_an_order_is_told(connect: Connect):
    client = connect()
    file = await client.files.upload(ROWS, name="rows.jsonl")

    made = await client.datasets.create(file_id=file["id"], mapping=MAPPING)
    assert made["object"] == "dataset"
    assert (await client.jobs.retrieve(made["job_id"]))["kind"] == "dataset"
    jobs = [job["id"] async for job in client.jobs.list(kind="dataset", status=["queued"])]
    assert made["job_id"] in jobs

    other = await client.datasets.create(file_id=file["id"], mapping=MAPPING, seed=9)
    both = await client.datasets.compare(made["id"], other["id"])
    assert [each["id"] for each in both["datasets"]] == [made["id"], other["id"]]
    assert [row async for row in client.datasets.unshared_rows(made["id"], other["id"])] == []

    with pytest.raises(ApiStatusError) as refused:
        await client.datasets.create(file_id=file["id"], mapping={"user_tamplate": "{q}"})
    assert refused.value.status == 422
    assert any("user_tamplate" in error for error in refused.value.errors)
    assert str(refused.value).startswith("POST /v1/datasets: 422: ")


async def test_jobs_are_cancelled_paused_and_resumed(connect: Connect):
    client = connect()
    file = await client.files.upload(ROWS, name="rows.jsonl")
    order = {"model": "tiny", "training_file": file["id"]}
    first = (await client.fine_tuning.jobs.create(**order))["id"]

    assert (await client.fine_tuning.jobs.pause(first))["desired_state"] == "pause"
    assert (await client.jobs.resume(first))["desired_state"] == "run"
    assert (await client.jobs.cancel(first))["desired_state"] == "cancel"


async def test_a_job_is_followed_to_its_end_and_waited_for(
    connect: Connect, house: House, half: str
):
    client, tenant = connect(tenant=f"follow-{half}"), f"follow-{half}"
    file = await client.files.upload(ROWS, name="rows.jsonl")
    job = await client.fine_tuning.jobs.create(model="tiny", training_file=file["id"])
    waiting = asyncio.ensure_future(_awaited(client.jobs.wait(job["id"])))

    seen: list[Any] = []
    await say_state(house, job["id"], tenant, status=JOB_STATUS_RUNNING, attempt=1)
    async for event in client.jobs.follow(job["id"]):
        seen.append(event["data"]["status"])
        if seen == ["running"]:
            await say_state(house, job["id"], tenant, status=JOB_STATUS_SUCCEEDED, attempt=1)
    assert seen == ["running", "succeeded"]
    assert (await waiting)["status"] == "succeeded"

    assert (await client.jobs.metrics(job["id"], points=4, name=["loss"]))["series"] == []
    assert await client.jobs.metrics_csv(job["id"]) == b"step\n"
    other = await client.fine_tuning.jobs.create(model="tiny", training_file=file["id"], seed=9)
    both = await client.jobs.compare(job["id"], [other["id"]], name=["loss"])
    assert [each["job"]["id"] for each in both["jobs"]] == [job["id"], other["id"]]
    newest_first = [each["data"]["status"] async for each in client.jobs.events(job["id"])]
    assert newest_first == seen[::-1]
    tuning = client.fine_tuning.jobs
    assert [it["object"] async for it in tuning.follow(job["id"])] == ["fine_tuning.job.event"] * 2
    assert [it["object"] async for it in tuning.events(job["id"])] == ["fine_tuning.job.event"] * 2
    checkpoints = [each["object"] async for each in tuning.checkpoints(job["id"])]
    assert checkpoints == ["fine_tuning.job.checkpoint"]


async def _awaited(pending: Any) -> Any:
    return await pending


async def test_a_failed_job_is_an_error_with_its_remedy_and_a_resumed_one_is_followed_on(
    connect: Connect, house: House, half: str
):
    client, tenant = connect(tenant=f"fail-{half}"), f"fail-{half}"
    file = await client.files.upload(ROWS, name="rows.jsonl")
    job = await client.fine_tuning.jobs.create(model="tiny", training_file=file["id"])

    with pytest.raises(WaitTimeoutError, match=r"is queued after 0\.2 s"):
        await client.jobs.wait(job["id"], timeout=0.2)
    error = JobError(code="disk_full", message="no room.", remedy="Free some.")
    await say_state(house, job["id"], tenant, status=JOB_STATUS_FAILED, error=error)
    with pytest.raises(JobFailedError, match=r"train job .*: no room\. Free some\.") as failed:
        await client.jobs.wait(job["id"])
    assert failed.value.job["id"] == job["id"]

    await say_state(house, job["id"], tenant, status=JOB_STATUS_RUNNING, attempt=2)
    await say_state(house, job["id"], tenant, status=JOB_STATUS_SUCCEEDED, attempt=2)

    # The gateway reads it at its own pace; to who follows before, the job has ended as failed.
    async def has_succeeded() -> bool:
        return (await client.jobs.retrieve(job["id"]))["status"] == "succeeded"

    await eventually(has_succeeded)
    seen = [event["data"]["status"] async for event in client.jobs.follow(job["id"])]
    assert seen == ["failed", "running", "succeeded"]


async def test_models_and_aliases(connect: Connect, half: str):
    client = connect(tenant=f"names-{half}")

    listed = await client.models.list()
    assert {BASE, BUILD, ADAPTER} <= {model["id"] for model in listed}
    assert (await client.models.retrieve("kinds"))["id"]

    alias = await client.aliases.set("mine", version_id=BUILD)
    assert alias["id"] == "mine"
    assert alias["id"] in [each["id"] for each in await client.aliases.list()]
    assert (await client.aliases.delete(alias["id"]))["deleted"] is True


async def test_an_experiment_is_begun_once_for_a_key_shown_listed_and_stopped(
    connect: Connect, half: str
):
    client = connect(tenant=f"compares-{half}")
    order = {"candidates": [TUNED], "primary": "completion", "horizon": 200}
    for alias in ("first", "second"):
        await client.aliases.set(alias, version_id=BUILD)

    made = await client.experiments.create(alias="first", **order, idempotency_key="one")
    again = await client.experiments.create(alias="first", **order, idempotency_key="one")
    other = await client.experiments.create(alias="second", **order)

    assert made["id"] == again["id"] != other["id"]
    assert [arm["version_id"] for arm in made["arms"]] == [BUILD, TUNED]
    assert (made["status"], made["horizon"], made["keys"]) == ("running", 200, 0)
    listed = [each["id"] async for each in client.experiments.list(page_size=1)]
    assert listed == [other["id"], made["id"]]
    after = client.experiments.list(after=other["id"])
    assert [each["id"] async for each in after] == [made["id"]]
    assert await client.experiments.units(made["id"]) == []
    stopped = await client.experiments.stop(made["id"])
    assert stopped["status"] == "stopped"
    assert await client.experiments.stop(made["id"]) == stopped
    assert await client.experiments.retrieve(made["id"]) == stopped


async def test_the_openai_sdk_is_pointed_at_the_gateway(connect: Connect, house: House, half: str):
    sdk = connect().openai()
    assert str(sdk.base_url) == f"{house.url}/v1/"
    create = sdk.chat.completions.create
    asked = {"model": "default", "messages": [{"role": "user", "content": "hello"}]}
    if half == "sync":
        answer = await asyncio.to_thread(create, **asked)
        await asyncio.to_thread(sdk.close)
    else:
        answer = await create(**asked)
        await sdk.close()
    assert answer.choices[0].message.content
