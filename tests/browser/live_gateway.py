"""A gateway as it runs, with faked peers, for tests that wait for a browser instead of a loop."""

import asyncio
import sys
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

import pytest
from google.protobuf.message import Message
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_SUCCEEDED, JobProgress, JobResult, JobState
from modelmill.registry.v1.model_events_pb2 import DatasetReady
from modelmill.trainer.v1.trainer_service_pb2 import TrainSpec
from modelmill_bus.kinds import prefix_of
from modelmill_bus.subjects import DATASET_READY, job_progress, job_state, route
from modelmill_jobs.submit import JobQueue
from modelmill_testkit.waiting import WITHIN_SECONDS, eventually

from tests.chaos.tcp_proxy import TcpProxy

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "services" / "gateway" / "tests"))

from gateway_support.house import House, run_house  # noqa: E402 - a part of those tests
from gateway_support.job_orders import MAPPING, order, upload  # noqa: E402

T = TypeVar("T")
TENANT = "acme"
STEPS = 40
WAIT_SECONDS = 2 * WITHIN_SECONDS
"""Longer than anything waits for within."""
BUILT = ROOT / "services" / "gateway" / "src" / "modelmill_gateway" / "console"


def built_console() -> Path:
    """What `make console` made."""
    if not (BUILT / "index.html").exists():
        pytest.fail("there is no console: make console")
    return BUILT


class LiveGateway:
    """The gateway's house, asked from outside of its loop, and the way to it."""

    def __init__(self, house: House, way: TcpProxy) -> None:
        self.house = house
        self.url = f"http://127.0.0.1:{way.port}"
        self.evaluated_lines: dict[str, list[bytes]] = {}
        """Rows of evaluations by job, as files have them."""
        self._way = way
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._written: set[str] = set()
        """Streams that the gateway may not have read to their end."""
        self._note_writes()

    def token(self, **claims: Any) -> str:
        """A token of the tenant."""
        return str(self.house.issuer.token(**({"tenant": TENANT} | claims)))

    def order_training(self) -> str:
        """A training job; its id."""
        return self.run(self._order())

    def submit_training(self, spec: TrainSpec) -> str:
        """A training job with a spec as the trainer records it; its id."""
        return self.submit("train", spec)

    def submit(self, kind: str, spec: Message) -> str:
        """A job of any kind with a spec as its owner records it; its id."""
        return self.run(self._submit(kind, spec))

    def make_dataset(self, counts: dict[str, int], name: str = "words") -> str:
        """A dataset that is ready; its id."""
        return self.run(self._dataset(counts, name))

    def say_ready(self, dataset_id: str, job_id: str, counts: dict[str, int]) -> None:
        """What is announced of a dataset that was ordered."""
        self.run(self._ready(dataset_id, job_id, counts, "words"))

    def save_losses(self, job_id: str, losses: list[float]) -> None:
        """What the trainer has of a training job, which has succeeded with it."""
        self.house.trainer.figures[job_id] = losses
        self.say_state(job_id, JOB_STATUS_SUCCEEDED, result=JobResult(digest=f"sha256:{'7' * 64}"))

    def say_state(self, job_id: str, status: int, *, kind: str = "train", **fields: Any) -> None:
        """What the worker of a job records."""
        state = JobState(
            job_id=job_id, kind=kind, tenant=TENANT, status=status, attempt=1, **fields
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
        # Not waited for: there may be thousands, and pages that are open hear of each.
        self._run(self.house.bus.publish(job_progress(job_id), progress))

    def run(self, asked: Coroutine[Any, Any, T]) -> T:
        """Its result, once the gateway was given all that was published for it.

        A page asks once when it opens: of what the gateway has not read it would never hear.
        """
        result = self._run(asked)
        self.settle()
        return result

    def settle(self) -> None:
        """Wait until the gateway was given all that was published for it."""
        self._run(self._until_read())

    def _run(self, asked: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(asked, self._loop).result(WAIT_SECONDS)

    def _note_writes(self) -> None:
        """Remember which streams tests publish to."""
        publish = self.house.bus.publish

        async def noted(subject: str, *given: Any, **options: Any) -> int:
            sequence = await publish(subject, *given, **options)
            self._written.add(route(subject).stream)
            return sequence

        self.house.bus.publish = noted  # type: ignore[method-assign]

    async def _until_read(self) -> None:
        js = self.house.bus._link.js
        while self._written:
            stream = self._written.pop()

            async def is_read(stream: str = stream) -> bool:
                return not any(each.num_pending for each in await js.consumers_info(stream))

            await eventually(is_read)

    def cut(self) -> None:
        """End every connection at once, as a network does that goes away."""
        self._loop.call_soon_threadsafe(self._way.cut)

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait for it."""
        self.run(eventually(condition))

    def stop(self) -> None:
        """End `serve`."""
        self._loop.call_soon_threadsafe(self._ended.set)

    async def serve(self, started: "Future[LiveGateway]") -> None:
        """Say that it answers, and go on until `stop`."""
        started.set_result(self)
        await self._ended.wait()

    async def _dataset(self, counts: dict[str, int], name: str) -> str:
        client = self.house.http(tenant=TENANT)
        body = {"file_id": await upload(client), "name": name, "mapping": MAPPING}
        ordered = (await client.post("/v1/datasets", json=body)).json()
        await self._ready(ordered["id"], ordered["job_id"], counts, name)
        return str(ordered["id"])

    async def _ready(self, dataset_id: str, job_id: str, counts: dict[str, int], name: str) -> None:
        ready = DatasetReady(
            dataset_id=dataset_id, job_id=job_id, tenant=TENANT, name=name, counts=counts
        )
        ready.created_at.GetCurrentTime()
        await self.house.bus.publish(DATASET_READY, ready)

    async def _submit(self, kind: str, spec: Message) -> str:
        job = await JobQueue(self.house.bus).submit(
            kind=kind,
            prefix=prefix_of(kind),
            tenant=TENANT,
            requested_by="ada",
            idempotency_key="",
            spec=spec,
        )
        client = self.house.http(tenant=TENANT)

        async def is_known() -> bool:
            return (await client.get(f"/v1/jobs/{job.job_id}")).status_code == HTTPStatus.OK

        await eventually(is_known)
        return job.job_id

    async def _order(self) -> str:
        return str((await order(self.house.http(tenant=TENANT))).json()["id"])


@contextmanager
def live_gateway(folder: Path, **settings: Any) -> Iterator[LiveGateway]:
    """Run one until the block ends."""
    started: Future[LiveGateway] = Future()

    async def serve() -> None:
        async with run_house(folder, **settings) as house:
            port = int(house.url.rpartition(":")[2])
            async with TcpProxy.running(port) as way:
                await LiveGateway(house, way).serve(started)

    thread = Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    gateway = started.result(WAIT_SECONDS)
    try:
        yield gateway
    finally:
        gateway.stop()
        thread.join()
