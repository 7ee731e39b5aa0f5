"""One run of a seed: jobs come in while faults strike, then everything must end well."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.struct_pb2 import Struct
from modelmill_bus.bus import Bus
from modelmill_jobs.submit import JobQueue
from modelmill_service_kit.errors import UnavailableError
from modelmill_testkit.nats_server import run_nats

from tests.chaos.fleet import Fleet
from tests.chaos.nemesis import Nemesis
from tests.chaos.oracle import Verdict, judge, read_history
from tests.chaos.plan import Plan

FIRST_JOBS = 4
"""So that there is work before the first fault."""
LOOK_SECONDS = 0.3
TENANTS = 3

OnFault = Callable[[int], None]


@dataclass(frozen=True)
class SeedRun:
    """What a seed did, and what came of it."""

    seed: int
    faults: Mapping[str, int]
    verdict: Verdict
    zombies_refused: int
    """Times that a worker found its job gone, by its own log."""
    drained_seconds: float | None
    """From the last fault's passing until all had ended; None when that took too long."""
    total_seconds: float


class Customer:
    """Hands in the jobs, the next few after each fault, and asks again until it hears yes."""

    def __init__(self, bus: Bus, plan: Plan, seed: int) -> None:
        self._queue = JobQueue(bus)
        self._plan = plan
        self._seed = seed
        self._due = asyncio.Semaphore(min(FIRST_JOBS, plan.jobs))
        self._released = min(FIRST_JOBS, plan.jobs)
        self.accepted: dict[str, int] = {}

    def see_fault(self, struck: int) -> None:
        """Let as large a part of the jobs come in as of the faults has struck."""
        share = min(1.0, struck / self._plan.faults)
        wanted = FIRST_JOBS + round((self._plan.jobs - FIRST_JOBS) * share)
        for _ in range(self._released, min(wanted, self._plan.jobs)):
            self._due.release()
            self._released += 1

    async def hand_in_all(self) -> None:
        """Returns when all jobs are accepted."""
        for number in range(self._plan.jobs):
            await self._due.acquire()
            await self._hand_in(number)

    async def _hand_in(self, number: int) -> None:
        spec = Struct()
        spec.update(
            {
                "steps": self._plan.steps,
                "step_seconds": self._plan.step_seconds,
                "save_every": self._plan.save_every,
            }
        )
        while True:
            try:
                job = await self._queue.submit(
                    kind="train",
                    prefix="ftjob",
                    # Several, so that workers take jobs out of the order of the queue, too.
                    tenant=f"chaos-{number % TENANTS}",
                    requested_by="chaos",
                    idempotency_key=f"{self._seed}-{number}",
                    spec=spec,
                )
            except UnavailableError:
                await asyncio.sleep(LOOK_SECONDS)
            else:
                self.accepted[job.job_id] = self._plan.steps
                return


async def run_seed(
    plan: Plan, seed: int, folder: Path, on_fault: OnFault = lambda _struck: None
) -> SeedRun:
    """Run it in an empty folder; some plans take a minute."""
    began = time.monotonic()
    async with (
        run_nats(folder / "nats") as broker,
        Fleet.running(broker.url, broker.token, plan, folder) as fleet,
        Bus.connect(broker.url, broker.token, name="chaos") as bus,
    ):
        customer = Customer(bus, plan, seed)
        nemesis = Nemesis(seed, plan, broker, fleet)

        def tell(struck: int) -> None:
            customer.see_fault(struck)
            on_fault(struck)

        await asyncio.gather(customer.hand_in_all(), nemesis.rage(tell))
        drained_seconds = await _drain(bus, customer, nemesis.ended_at, plan.drain_seconds)
        # A late write must be in the history: first, nobody is left who could make one.
        await fleet.stop()
        verdict = judge(await read_history(bus, customer.accepted))
        refused = fleet.refused_zombies()
    total = round(time.monotonic() - began, 1)
    return SeedRun(seed, dict(nemesis.struck), verdict, refused, drained_seconds, total)


async def _drain(bus: Bus, customer: Customer, since: float, within: float) -> float | None:
    """Seconds from then until every accepted job has succeeded and is announced."""
    while (waited := time.monotonic() - since) < within:
        verdict = judge(await read_history(bus, customer.accepted))
        if not verdict.lost and not verdict.wrong_versions:
            return round(waited, 1)
        await asyncio.sleep(LOOK_SECONDS)
    return None
