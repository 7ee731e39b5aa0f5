"""A gateway as it runs, with faked peers, for tests that wait for a browser instead of a loop."""

import asyncio
import sys
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

from modelmill.jobs.v1.job_pb2 import JobProgress, JobState
from modelmill_bus.subjects import job_progress, job_state

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "services" / "gateway" / "tests"))

from gateway_support.house import House, run_house  # noqa: E402 - a part of those tests
from gateway_support.job_orders import order  # noqa: E402

T = TypeVar("T")
TENANT = "acme"
STEPS = 40
WAIT_SECONDS = 30


class LiveGateway:
    """The gateway's house, asked from outside of its loop."""

    def __init__(self, house: House, loop: asyncio.AbstractEventLoop) -> None:
        self.house = house
        self.url = house.url
        self._loop = loop

    def token(self, **claims: Any) -> str:
        """A token of the tenant."""
        return str(self.house.issuer.token(**({"tenant": TENANT} | claims)))

    def order_training(self) -> str:
        """A training job; its id."""
        return self.run(self._order())

    def say_state(self, job_id: str, status: int, **fields: Any) -> None:
        """What the worker of a training job records."""
        state = JobState(
            job_id=job_id, kind="train", tenant=TENANT, status=status, attempt=1, **fields
        )
        state.updated_at.GetCurrentTime()
        self.run(self.house.bus.publish(job_state(job_id), state))

    def say_step(self, job_id: str, step: int, **metrics: float) -> None:
        """What it reports of a step."""
        progress = JobProgress(
            job_id=job_id,
            fence=10**6,
            phase="train",
            done=step,
            total=STEPS,
            unit="step",
            eta_seconds=float(STEPS - step),
            metrics=metrics,
        )
        progress.at.GetCurrentTime()
        self.run(self.house.bus.publish(job_progress(job_id), progress))

    def run(self, asked: Coroutine[Any, Any, T]) -> T:
        """Its result."""
        return asyncio.run_coroutine_threadsafe(asked, self._loop).result(WAIT_SECONDS)

    async def _order(self) -> str:
        return str((await order(self.house.http(tenant=TENANT))).json()["id"])


@contextmanager
def live_gateway(folder: Path, **settings: Any) -> Iterator[LiveGateway]:
    """Run one until the block ends."""
    started: Future[tuple[LiveGateway, asyncio.Event]] = Future()

    async def serve() -> None:
        ended = asyncio.Event()
        try:
            async with run_house(folder, **settings) as house:
                loop = asyncio.get_running_loop()
                started.set_result((LiveGateway(house, loop), ended))
                await ended.wait()
        except BaseException as error:
            if not started.done():
                started.set_exception(error)
            raise

    thread = Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    gateway, ended = started.result(WAIT_SECONDS)
    try:
        yield gateway
    finally:
        gateway._loop.call_soon_threadsafe(ended.set)
        thread.join()
