"""A batch that was accepted as its input was deleted fails, and says why."""

import pytest
from gateway_support.batches import CHAT, batch_of, ended, line
from gateway_support.house import House
from modelmill.gateway.v1.gateway_jobs_pb2 import Authority, BatchSpec
from modelmill_jobs.submit import JobQueue

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_batch_that_was_accepted_as_its_file_was_deleted_fails_by_name(house: House):
    client = house.openai(tenant="early")
    stored = await batch_of(client, [line("only")])
    await client.files.delete(stored.id)
    authority = Authority(subject="ann", scopes=["chat"])
    spec = BatchSpec(endpoint=CHAT, input_file_id=stored.id, window_seconds=60, authority=authority)
    order = {"kind": "batch", "prefix": "batch", "tenant": "early", "requested_by": "ann"}
    job = await JobQueue(house.bus).submit(**order, idempotency_key="", spec=spec)

    batch = await ended(client, job.job_id)
    assert batch.status == "failed"
    assert [error.code for error in batch.errors.data] == ["input_gone"]
