"""What goes into a training job beside its rows, and the file of figures that comes out of it."""

from typing import Any

import openai
import pytest
from gateway_support.grpc_client import CALL_SECONDS, grpc_stub
from gateway_support.house import BASE, House
from gateway_support.job_orders import order, say_state, upload
from modelmill.gateway.v1 import gateway_service_pb2 as pb
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_SUCCEEDED, JobResult
from modelmill.trainer.v1 import trainer_service_pb2 as trainer_pb
from modelmill_service_kit.errors import InvalidInputError
from modelmill_service_kit.grpc_client import domain_errors
from modelmill_testkit.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def finished(house: House, tenant: str, losses: list[float]) -> str:
    """A job that has succeeded after steps with these losses."""
    job_id = str((await order(house.http(tenant=tenant))).json()["id"])
    house.trainer.figures[job_id] = losses
    result = JobResult(version_id="mv-new", digest="sha256:1")
    result.summary.update({"valid_loss": 0.25, "steps": len(losses)})
    await say_state(house, job_id, tenant, status=JOB_STATUS_SUCCEEDED, result=result)
    return job_id


async def retrieved(house: House, tenant: str, job_id: str) -> Any:
    """The job, once the gateway knows that it has succeeded."""
    jobs = house.openai(tenant=tenant).fine_tuning.jobs

    async def done() -> Any:
        job = await jobs.retrieve(job_id)
        return job if job.status == "succeeded" else None

    return await eventually(done)


async def test_what_is_validated_on_is_a_file_of_its_own_and_a_dataset_of_its_own(house: House):
    client = house.http(tenant="validates")
    file = await upload(client)

    job = (await order(client, validation_file=file)).json()

    spec = house.trainer.specs[-1]
    assert spec.validation_dataset_id.startswith("ds-")
    assert spec.validation_dataset_job_id
    assert spec.validation_dataset_id != spec.dataset_id
    assert job["validation_file"] == file
    assert job["training_file"] != file


@pytest.mark.parametrize("key", ["", "once"])
async def test_a_file_is_not_validated_on_that_is_trained_on(house: House, key: str):
    client = house.http(tenant="same")
    file = await upload(client)
    if key:
        client.headers["idempotency-key"] = key

    refused = await order(client, training_file=file, validation_file=file)

    assert refused.status_code == 422
    assert "Leave it out" in refused.json()["error"]["message"]


async def test_a_callers_words_about_a_job_are_kept_and_jobs_are_found_by_them(house: House):
    client = house.openai(tenant="words")
    jobs = client.fine_tuning.jobs
    file = await client.files.create(file=("a.jsonl", b"{}"), purpose="fine-tune")

    async def made(metadata: Any) -> str:
        job = await jobs.create(model="tiny", training_file=file.id, metadata=metadata)
        assert job.metadata == metadata
        return job.id

    one = await made({"team": "a", "run": "1"})
    two = await made({"team": "a", "run": "2"})
    bare = await made(None)

    async def found(**query: str) -> list[str]:
        return [job.id async for job in jobs.list(extra_query=query)]

    assert await found(**{"metadata[team]": "a"}) == [two, one]
    assert await found(**{"metadata[team]": "a", "metadata[run]": "1"}) == [one]
    assert await found(metadata="null") == [bare]
    assert [job.id async for job in jobs.list(metadata={"run": "2"})] == [two]
    with pytest.raises(openai.BadRequestError, match="pairs"):
        await found(metadata="a")
    for wrong in ({"k" * 65: "v"}, {"k": "v" * 513}, {str(n): "v" for n in range(17)}):
        with pytest.raises(openai.UnprocessableEntityError, match="metadata"):
            await made(wrong)


async def test_who_orders_reads_and_searches_jobs_adds_no_keys_to_their_specs(house: House):
    client = house.http(tenant="reads")
    job_id = str((await order(client)).json()["id"])
    await client.get(f"/v1/fine_tuning/jobs/{job_id}")
    await client.get("/v1/fine_tuning/jobs", params={"metadata[team]": "a"})

    async with grpc_stub(house, tenant="reads") as stub:
        asked = pb.GetJobRequest(job_id=job_id)
        spec = (await stub.GetJob(asked, timeout=CALL_SECONDS)).job.spec

    assert [key for key, value in spec.fields.items() if value.WhichOneof("kind") is None] == []


async def test_the_figures_of_a_finished_job_are_a_file_by_the_unmodified_client(house: House):
    client = house.openai(tenant="figures")
    job_id = await finished(house, "figures", [2.0, 1.0, 0.5])

    (file_id,) = (await retrieved(house, "figures", job_id)).result_files
    content = (await client.files.content(file_id)).text
    record = await client.files.retrieve(file_id)

    assert content.splitlines() == [
        "step,train_loss,full_valid_loss",
        "1,2.0,",
        "2,1.0,",
        "3,0.5,0.25",
    ]
    assert (record.purpose, record.filename) == ("fine-tune-results", f"{job_id}_results.csv")
    assert [it.id async for it in client.files.list(purpose="fine-tune-results")] == [file_id]
    with pytest.raises(openai.NotFoundError):
        await house.openai(tenant="others").files.content(file_id)


async def test_figures_that_were_deleted_stay_deleted(house: House):
    client = house.openai(tenant="deletes")
    job_id = await finished(house, "deletes", [1.0])
    (file_id,) = (await retrieved(house, "deletes", job_id)).result_files
    await client.files.content(file_id)

    await client.files.delete(file_id)

    with pytest.raises(openai.NotFoundError):
        await client.files.content(file_id)


async def test_a_job_that_has_not_succeeded_has_no_figures_to_download(house: House):
    job = (await order(house.http(tenant="waits"))).json()

    assert job["result_files"] == []


async def test_http_and_grpc_accept_and_refuse_the_same(house: House):
    tenant = {"tenant": "apis"}
    rows, others = [await upload(house.http(**tenant)) for _ in range(2)]
    spec = trainer_pb.TrainSpec(
        base_version_id="tiny",
        dataset_id=rows,
        validation_dataset_id=others,
        metadata={"team": "a"},
    )
    async with grpc_stub(house, **tenant) as stub:
        request = pb.CreateFineTuningJobRequest(spec=spec)
        await stub.CreateFineTuningJob(request, timeout=CALL_SECONDS)
        request.spec.adapter_version_id = BASE
        request.spec.validation_dataset_job_id = "job-1"
        with pytest.raises(InvalidInputError) as refused, domain_errors("gateway"):
            await stub.CreateFineTuningJob(request, timeout=CALL_SECONDS)

    ordered = house.trainer.specs[-1]
    assert dict(ordered.metadata) == {"team": "a"}
    assert ordered.validation_dataset_job_id
    assert {error.partition(":")[0] for error in refused.value.errors} == {
        "adapter_version_id",
        "validation_dataset_job_id",
    }
