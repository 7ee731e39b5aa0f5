"""Pausing or cancelling a job that no worker holds."""

import asyncio

from modelmill.jobs.v1.job_pb2 import JobRequested, JobState, JobWish

from modelmill_jobs.bus import Bus
from modelmill_jobs.claims import Claim
from modelmill_jobs.envelope import Stored
from modelmill_jobs.standing import WISHED_STATUS, renewed


async def park(
    bus: Bus,
    request: JobRequested,
    before: Stored[JobState] | None,
    wish: JobWish.ValueType,
    stopping: asyncio.Event,
) -> int:
    """Write what is wished as the job's state, and return its sequence.

    It is a compare-and-set like a claim, so of a claim and this one comes first and the other is
    told.

    Args:
        before: the last state; None when nobody wrote one.
        wish: PAUSE or CANCEL.

    Raises:
        Fenced: somebody else wrote first.
        UnavailableError: the process stops and the broker stayed away.
    """
    claim = Claim(bus, request, before, stopping)
    state = claim.copy() if before is None else renewed(before.body)
    state.status = WISHED_STATUS[wish]
    return await claim.write(state)
