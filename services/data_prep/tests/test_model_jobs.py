"""A dataset job asks models through its parent, and ends as its spec and the service allow."""

from typing import Any

import pytest
from modelmill.jobs.v1.job_pb2 import (
    JOB_STATUS_FAILED,
    JOB_STATUS_QUEUED,
    JOB_STATUS_SUCCEEDED,
    JobState,
)
from modelmill_bus.subjects import job_state
from modelmill_testkit.fake_inference import NEWER, VERSION, FakeInference, serving
from modelmill_testkit.waiting import eventually

ROWS = [{"q": f"Where can a person find station number {n}?", "a": "a" * n} for n in range(1, 21)]


def asking(model: str) -> dict[str, Any]:
    step = {"method": "paraphrase", "share": 1.0, "model": model}
    loss = {"order": "staged", "weights": {"loss": 1.0}, "loss_model": model}
    return {"augment": {"steps": [step]}, "curriculum": loss}


class Moving(FakeInference):
    """Its alias stands for a newer version after each look at it."""

    async def _take(self, request: Any) -> str:
        version = await super()._take(request)
        self.alias = NEWER
        return version


@pytest.mark.heavy
async def test_the_versions_that_answer_are_those_that_the_job_began_with(
    start_data_prep: Any,
) -> None:
    service = Moving()  # type: ignore[abstract]
    async with (
        serving(service) as address,
        start_data_prep(inference_address=address) as data_prep,
    ):
        file = await data_prep.upload(ROWS)
        created = await data_prep.create(file.file_id, **asking("base"))
        state = await data_prep.ended(created.job_id)
        assert state.status == JOB_STATUS_SUCCEEDED, state.error
        ready = await data_prep.announced()
        manifest = data_prep.store.manifest(ready.digest)

    made = int(ready.counts["rows_made"])
    assert made == 16
    scored, written = manifest.attributes["models"]
    # Opened one after the other, and the alias moved in between.
    assert (written["purpose"], written["versions"]) == ("text", {VERSION: 16})
    assert (scored["purpose"], scored["versions"]) == ("loss", {NEWER: 32})
    assert {request.tenant for request in service.requests} == {"acme"}
    assert {request.model for request in service.requests[2:]} == {VERSION, NEWER}


async def test_a_model_that_nobody_knows_fails_the_job_for_good(start_data_prep: Any) -> None:
    async with (
        serving(FakeInference()) as address,  # type: ignore[abstract]
        start_data_prep(inference_address=address) as data_prep,
    ):
        file = await data_prep.upload(ROWS)
        created = await data_prep.create(file.file_id, **asking("unknown"))
        state = await data_prep.ended(created.job_id)

    assert (state.status, state.attempt) == (JOB_STATUS_FAILED, 1)
    assert (state.error.code, state.error.message) == ("MODEL_GONE", "no model unknown")
    assert state.error.remedy


async def test_a_service_that_is_away_is_waited_for_in_the_queue(start_data_prep: Any) -> None:
    async with start_data_prep(inference_address="127.0.0.1:9") as data_prep:
        file = await data_prep.upload(ROWS)
        created = await data_prep.create(file.file_id, **asking("base"))

        async def waits() -> JobState | None:
            stored = await data_prep.bus.last(job_state(created.job_id), JobState)
            return stored.body if stored and stored.body.error.code else None

        state = await eventually(waits)

    assert state is not None
    assert (state.status, state.failures) == (JOB_STATUS_QUEUED, 0)
    assert (state.error.code, state.error.message) == ("UNAVAILABLE", "inference does not answer")
