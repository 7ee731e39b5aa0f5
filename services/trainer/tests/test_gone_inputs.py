"""Evaluations whose rows were deleted, before they ran or since: each says why."""

from typing import Any

import pytest
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_FAILED, JOB_STATUS_SUCCEEDED
from modelmill.registry.v1.model_events_pb2 import DatasetReady, DatasetRetired
from modelmill_bus.subjects import DATASET_READY, DATASET_RETIRED
from modelmill_service_kit.errors import NotFoundError
from modelmill_testkit.waiting import eventually
from trainer_support.evaluations import Learned, create, evaluating, found, listed


async def test_an_accepted_evaluation_whose_dataset_was_deleted_fails_by_name(
    site: Any, toy_rows: Any
) -> None:
    async with evaluating(site, Learned(), role="serve"):
        await site.add_dataset(test=toy_rows(6))
        accepted = await create(site)
        await site.bus.publish(DATASET_RETIRED, DatasetRetired(dataset_id="ds-toy", tenant="acme"))
        ready = DatasetReady(dataset_id="ds-last", tenant="acme")
        await site.bus.publish(DATASET_READY, ready)  # behind it, so that it has been read, too

        async def refused() -> bool:
            try:
                await create(site)
            except NotFoundError as error:
                return "was retired" in error.message
            return False

        await eventually(refused)
    async with evaluating(site, Learned(), role="work"):
        state = await site.ended(accepted.job_id)

    assert (state.status, state.error.code) == (JOB_STATUS_FAILED, "ROWS_GONE")
    assert "'ds-toy' was retired" in state.error.message


async def test_rows_of_an_evaluation_that_were_erased_are_not_found_by_name(
    site: Any, toy_rows: Any
) -> None:
    async with evaluating(site, Learned(), role="both"):
        await site.add_dataset(test=toy_rows(6))
        accepted = await create(site)
        state = await site.ended(accepted.job_id)
        assert state.status == JOB_STATUS_SUCCEEDED
        site.store.erase([state.result.digest])
        for asking in (found(site, accepted.job_id), listed(site, accepted.job_id)):
            with pytest.raises(NotFoundError, match="erased with their dataset"):
                await asking
