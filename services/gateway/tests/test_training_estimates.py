"""Estimates of trainings: what they rest on, what is refused, and that nothing is ordered."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from gateway_support.grpc_client import CALL_SECONDS, grpc_stub
from gateway_support.house import House
from gateway_support.job_orders import order, say_state, upload
from gateway_support.job_owners import SIZED
from google.protobuf.json_format import ParseDict
from modelmill.gateway.v1.gateway_service_pb2 import EstimateFineTuningRequest
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_SUCCEEDED, JobResult
from modelmill.trainer.v1.trainer_service_pb2 import (
    TRAINING_METHOD_LORA,
    SizeFineTuningJobResponse,
    TrainSpec,
)
from modelmill_testkit.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATH = "/v1/fine_tuning/jobs/estimate"
SUMMARY = {"tokens_per_second": 100.0, "train_seconds": 40.0, "peak_memory_bytes": 7e8}


@pytest.fixture
def size(house: House) -> Iterator[SizeFineTuningJobResponse]:
    """What the trainer says of every training, to be changed."""
    house.trainer.size = SizeFineTuningJobResponse()
    house.trainer.size.CopyFrom(SIZED)
    yield house.trainer.size
    house.trainer.size = SIZED


async def dataset(client: httpx.AsyncClient) -> str:
    """A dataset in the making; its id."""
    mapping = {"user_template": "{q}", "answer_template": "{a}"}
    body = {"file_id": await upload(client), "mapping": mapping}
    return str((await client.post("/v1/datasets", json=body)).json()["id"])


async def estimated(client: httpx.AsyncClient, **changes: Any) -> dict[str, Any]:
    rows = changes.pop("training_file", "") or await dataset(client)
    answer = await client.post(PATH, json={"model": "tiny", "training_file": rows} | changes)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def succeeded(house: House, tenant: str, **changes: Any) -> str:
    """A training that has ended; its id."""
    client = house.http(tenant=tenant)
    job_id = str((await order(client, **changes)).json()["id"])
    result = ParseDict({"digest": "sha256:1", "summary": SUMMARY}, JobResult())
    await say_state(house, job_id, tenant, status=JOB_STATUS_SUCCEEDED, attempt=1, result=result)

    async def has_ended() -> bool:
        found = (await client.get(f"/v1/jobs/{job_id}")).json()
        return bool(found["status"] == "succeeded")

    await eventually(has_ended)
    return job_id


async def test_without_earlier_trainings_time_is_by_the_rule(house: House):
    found = await estimated(house.http(tenant="first"))

    # 24 s, 20 answers of 50 tokens at 3 * 2 * 1e6 operations, and 160 rows of them at 4.
    seconds = 24 + (20 * 50 * 6 + 160 * 50 * 4) * 1e6 / 300e9
    assert found.pop("seconds") == pytest.approx(seconds)
    assert found.pop("model").startswith("mv-")
    assert found == {
        **{"object": "fine_tuning.estimate", "training_method": "lora", "objective": "answers"},
        **{"method_reason": None, "train_rows": 80, "test_rows": 10, "n_epochs": 2.0},
        **{"batch_size": 8, "steps": 20, "trained_tokens": 8000, "based_on": "rule"},
        **{"earlier_job_ids": [], "peak_memory_bytes": 2 << 30, "needed_memory_bytes": 2 << 30},
        **{"worker_memory_bytes": 4 << 30, "waiting_reason": None, "notes": [], "note_codes": []},
    }


async def test_a_teacher_reads_every_row_and_answers_the_test_rows(
    house: House, size: SizeFineTuningJobResponse
):
    alone = (await estimated(house.http(tenant="taught")))["seconds"]
    size.teacher_bytes = size.base_bytes

    found = await estimated(house.http(tenant="taught"))

    # 160 rows of 50 tokens at 2 * 1e6 operations, and 10 answers at three times as many.
    teacher = (160 * 50 * 2 + 10 * 50 * 6) * 1e6 / 300e9
    assert found["seconds"] == pytest.approx(alone + teacher)


async def test_time_and_memory_are_those_of_earlier_trainings_of_the_same_sort(house: House):
    client = house.http(tenant="earlier")
    job_id = await succeeded(house, "earlier")
    await succeeded(house, "other-tenant")
    await succeeded(house, "earlier", training_method="full")

    found = await estimated(client)

    assert (found["based_on"], found["earlier_job_ids"]) == ("earlier_jobs", [job_id])
    # 8,000 tokens at 100 a second, and what was around the steps: nothing that was seen.
    assert found["seconds"] == pytest.approx(81.0)
    assert found["peak_memory_bytes"] == 700_000_000
    assert found["needed_memory_bytes"] == 2 << 30


async def test_nothing_is_ordered_for_a_file_whose_rows_are_looked_at(house: House):
    client = house.http(tenant="looks")
    file = await upload(client)
    before = [len(house.trainer.specs), len(house.data_prep.specs)]

    await estimated(client, training_file=file)

    assert [len(house.trainer.specs), len(house.data_prep.specs)] == before
    assert (await client.get("/v1/jobs")).json()["data"] == []
    assert house.data_prep.previewed[-1].spec.file_id == file
    sized = house.trainer.sized[-1]
    await client.post("/v1/fine_tuning/jobs", json={"model": "tiny", "training_file": file})
    assert house.trainer.specs[-1] == sized


async def test_what_is_not_known_is_null_with_the_reason(
    house: House, size: SizeFineTuningJobResponse
):
    for name in ("train_rows", "row_tokens", "epochs", "batch_size", "row_visits"):
        size.ClearField(name)
    size.notes.extend(["nobody knows the rows", "said by an older trainer"])
    size.note_codes.append("no_dataset")

    found = await estimated(house.http(tenant="unknown"))

    names = ("train_rows", "n_epochs", "batch_size", "steps", "trained_tokens", "seconds")
    assert {name: found[name] for name in names} == dict.fromkeys(names)
    assert found["notes"] == ["nobody knows the rows", "said by an older trainer"]
    assert found["note_codes"] == ["no_dataset", ""]
    assert found["peak_memory_bytes"] == 2 << 30


async def test_a_training_that_fits_no_worker_says_why_it_would_wait(
    house: House, size: SizeFineTuningJobResponse
):
    size.needs.memory_bytes = 8 << 30

    found = await estimated(house.http(tenant="large"))

    assert found["waiting_reason"].startswith("needs 8.6 GB; the largest worker")


async def test_it_is_refused_as_the_order_would_be(house: House):
    client = house.http(tenant="wrong")
    body = {
        **{"model": "tiny", "training_file": await dataset(client), "objective": "distillation"},
        "hyperparameters": {"learning_rate": 2, "lora_rank": 999},
    }

    refused = await client.post(PATH, json=body)
    ordered = await client.post("/v1/fine_tuning/jobs", json=body)

    assert refused.status_code == 422
    assert {"teacher is missing"} < {*refused.json()["error"]["errors"]}
    for answer in (refused.json()["error"], ordered.json()["error"]):
        answer.pop("request_id", None)
    assert refused.json()["error"]["errors"] == ordered.json()["error"]["errors"]


async def test_what_another_tenant_has_is_not_found(house: House):
    owner = house.http(tenant="owns")
    foreign = await dataset(owner), await upload(owner)
    await house.say_model("mv-owns", tenant="owns", name="owns", form="safetensors")
    stranger = house.http(tenant="stranger")
    own = await dataset(stranger)

    for body in (
        *({"model": "tiny", "training_file": each} for each in foreign),
        {"model": "mv-owns", "training_file": own},
        {"model": "tiny", "training_file": own, "validation_file": foreign[0]},
    ):
        assert (await stranger.post(PATH, json=body)).status_code == 404, body


async def test_the_same_is_told_over_grpc(house: House):
    client = house.http(tenant="apis")
    rows = await dataset(client)
    shown = await estimated(client, training_file=rows)

    spec = TrainSpec(base_version_id="tiny", dataset_id=rows, method=TRAINING_METHOD_LORA)
    async with grpc_stub(house, tenant="apis") as stub:
        request = EstimateFineTuningRequest(spec=spec)
        found = await stub.EstimateFineTuning(request, timeout=CALL_SECONDS)

    told = {name: getattr(found, name) for name in ("train_rows", "test_rows", "batch_size")}
    told |= {"trained_tokens": found.trained_tokens, "seconds": found.seconds}
    told |= {"n_epochs": found.epochs, "peak_memory_bytes": found.peak_memory_bytes}
    told |= {"needed_memory_bytes": found.needs.memory_bytes}
    told |= {"worker_memory_bytes": found.worker.memory_bytes}
    assert told == {name: shown[name] for name in told}
    assert found.spec.base_version_id == shown["model"]
