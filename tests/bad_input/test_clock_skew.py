"""Clocks that differ: tokens are refused in words that say so, and jobs are taken over anyway."""

import asyncio
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from google.protobuf.struct_pb2 import Struct
from modelmill.jobs.v1.job_pb2 import (
    JOB_STATUS_SUCCEEDED,
    JobProgress,
    JobRequested,
    JobResult,
    JobState,
)
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import job_progress, job_state
from modelmill_cli.keys import AUDIENCE, ISSUER
from modelmill_client import ApiStatusError, Modelmill
from modelmill_jobs.active import ActiveJob
from modelmill_jobs.submit import JobQueue, SubmittedJob
from modelmill_jobs.worker import Worker
from modelmill_testkit.nats_server import run_nats
from modelmill_testkit.waiting import eventually

from tests.bad_input.mill import StartedMill
from tests.bad_input.skewed_worker import CLAIM_SECONDS

pytestmark = pytest.mark.timeout(240)

HOUR = 3600
SKEWED_WORKER = Path(__file__).with_name("skewed_worker.py")


def token_of_a_clock(stack: StartedMill, seconds_ahead: int) -> str:
    """A token that lives for five minutes, from an issuer whose clock is off."""
    folder = stack.state.keys
    key = load_pem_private_key((folder / "signing-key.pem").read_bytes(), password=None)
    (published,) = jwt.PyJWKSet.from_json((folder / "jwks.json").read_text()).keys
    now = int(time.time()) + seconds_ahead
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "ann",
        "tenant": "demo",
        "scope": "models:read",
    }
    return jwt.encode(
        claims | {"iat": now, "exp": now + 300},
        key,
        algorithm="EdDSA",
        headers={"kid": published.key_id, "typ": "at+jwt"},
    )


@pytest.mark.parametrize(
    ("seconds_ahead", "said"),
    [(HOUR, "in the future: the clocks"), (-HOUR, "if it is new, the clocks")],
    ids=["ahead", "behind"],
)
def test_a_token_of_a_wrong_clock_is_refused_with_the_difference(
    stack: StartedMill, seconds_ahead, said
):
    url, token = stack.state.read_runtime().http_url, token_of_a_clock(stack, seconds_ahead)
    with Modelmill(url, token) as client, pytest.raises(ApiStatusError, match=said) as refused:
        client.models.list()
    assert "401" in refused.value.message
    difference = int(refused.value.message.split(" s ")[0].split()[-1])
    assert difference in range(HOUR - 300 - 5, HOUR + 5)


def test_a_token_of_a_clock_that_is_a_little_off_is_taken(stack: StartedMill):
    url = stack.state.read_runtime().http_url
    with Modelmill(url, token_of_a_clock(stack, 20)) as client:
        assert isinstance(client.models.list(), list)


class Quick:
    kind = "dataset"

    async def is_ready(self, request: JobRequested) -> bool:
        return True

    async def __call__(self, job: ActiveJob) -> JobResult:
        return JobResult(digest="sha256:" + "0" * 64)


async def submit(bus: Bus) -> SubmittedJob:
    return await JobQueue(bus).submit(
        kind="dataset",
        prefix="job",
        tenant="acme",
        requested_by="ann",
        idempotency_key="",
        spec=Struct(),
    )


@asynccontextmanager
async def healthy_worker(bus: Bus, work_root: Path) -> AsyncIterator[None]:
    """A worker whose clock is right, until the block ends."""
    stopping = asyncio.Event()
    worker = Worker(
        bus, [Quick()], service="test", work_root=work_root, claim_seconds=CLAIM_SECONDS
    )
    working = asyncio.create_task(worker.run(stopping))
    yield
    stopping.set()
    await working


@pytest.mark.parametrize("seconds_ahead", [HOUR, -HOUR], ids=["ahead", "behind"])
async def test_the_job_of_a_worker_with_a_wrong_clock_is_taken_over_when_it_dies(
    tmp_path, seconds_ahead
):
    async with (
        run_nats(tmp_path / "nats") as nats,
        Bus.connect(nats.url, nats.token, name="test") as bus,
    ):
        submitted = await submit(bus)
        skewed = await start_skewed(nats.url, nats.token, tmp_path / "skewed", seconds_ahead)

        async def reported() -> JobProgress | None:
            stored = await bus.last(job_progress(submitted.job_id), JobProgress)
            return stored.body if stored else None

        progress = await eventually(reported)
        assert progress is not None
        assert abs(progress.at.seconds - time.time() - seconds_ahead) < 60
        skewed.kill()
        await skewed.wait()

        async def state() -> JobState | None:
            stored = await bus.last(job_state(submitted.job_id), JobState)
            return stored.body if stored and stored.body.status == JOB_STATUS_SUCCEEDED else None

        async with healthy_worker(bus, tmp_path / "work"):
            ended = await eventually(state, within=20 * CLAIM_SECONDS)
        assert ended is not None
        assert (ended.lost, ended.attempt) == (1, 2)


async def start_skewed(
    url: str, token: str, work_root: Path, seconds_ahead: int
) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(SKEWED_WORKER), url, token, str(work_root), str(seconds_ahead)),
        stdout=PIPE,
    )
    assert process.stdout is not None
    assert (await process.stdout.readline()).decode().strip() == "WORKING"
    return process
