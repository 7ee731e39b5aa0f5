"""Whether an accepted job has been synced to the disk by the time its caller hears so."""

import asyncio
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.struct_pb2 import Struct
from modelmill_bus.bus import Bus
from modelmill_jobs.submit import JobQueue
from modelmill_testkit.nats_server import run_nats

SUBMITS = 100
ATTACH_SECONDS = 10.0


@dataclass(frozen=True)
class Fsyncs:
    """What strace saw of the broker during `submits` acknowledged submits."""

    submits: int
    fsyncs: int
    """fsync and fdatasync calls."""
    not_checked: str = ""
    """Why nothing was counted."""

    @property
    def kept(self) -> bool:
        """Whether the promise holds, as far as it was checked."""
        return bool(self.not_checked) or self.fsyncs >= self.submits


class CannotTraceError(Exception):
    """strace does not come, or is not let in; the message says why."""


async def count_fsyncs(folder: Path, submits: int = SUBMITS) -> Fsyncs:
    """Submit one job after the other and count."""
    async with (
        run_nats(folder / "nats") as broker,
        Bus.connect(broker.url, broker.token, name="chaos") as bus,
    ):
        calls = folder / "strace.txt"
        try:
            async with _traced(broker.pid, calls):
                await _submit(JobQueue(bus), submits)
        except CannotTraceError as error:
            return Fsyncs(0, 0, str(error))
    # A call that another thread interrupts has two lines; the second begins with "<...".
    lines = calls.read_text().splitlines()
    return Fsyncs(submits, sum("sync(" in line for line in lines))


async def _submit(queue: JobQueue, submits: int) -> None:
    for number in range(submits):
        await queue.submit(
            kind="train",
            prefix="ftjob",
            tenant="chaos",
            requested_by="chaos",
            idempotency_key=str(number),
            spec=Struct(),
        )


@asynccontextmanager
async def _traced(pid: int, calls: Path) -> AsyncIterator[None]:
    strace = shutil.which("strace")
    if strace is None:
        raise CannotTraceError("strace is not installed")
    process = await asyncio.create_subprocess_exec(
        *(strace, "-f", "-e", "trace=fsync,fdatasync", "-o", str(calls), "-p", str(pid)),
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        await _wait_attached(process)
        yield
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
        await process.communicate()


async def _wait_attached(process: asyncio.subprocess.Process) -> None:
    assert process.stderr is not None
    try:
        line = (await asyncio.wait_for(process.stderr.readline(), ATTACH_SECONDS)).decode().strip()
    except TimeoutError as error:
        raise CannotTraceError("strace does not attach") from error
    if "attached" not in line:
        raise CannotTraceError(line or "strace ended at once")
