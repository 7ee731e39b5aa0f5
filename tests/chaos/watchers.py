"""Watchers of a job whose connections are cut, and whose gateway is killed, all the time."""

import asyncio
import os
import random
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from google.protobuf.struct_pb2 import Struct
from modelmill.jobs.v1.job_pb2 import JobProgress
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import job_progress, job_state
from modelmill_cli.gateway import DEFAULT_TENANT, local_token
from modelmill_cli.stack import Stack, StackOptions, running_stack
from modelmill_cli.state_folder import StateFolder
from modelmill_gateway.ordering.watch_job import SealedEventIds
from modelmill_jobs.submit import JobQueue
from modelmill_testkit.ports import free_port

from tests.chaos.fleet import Fleet
from tests.chaos.plan import Plan
from tests.chaos.tcp_proxy import TcpProxy
from tests.chaos.watching_clients import GrpcWatcher, Seen, SseWatcher, Watcher

ENDS_WITHIN_SECONDS = 120.0
LOOK_SECONDS = 0.02

OnFault = Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class WatchPlan:
    """One run."""

    cuts: int = 50
    gateway_kills: int = 5
    worker_kills: int = 2
    steps: int = 1500
    step_seconds: float = 0.04

    @property
    def faults(self) -> int:
        """All of them."""
        return self.cuts + self.gateway_kills + self.worker_kills


@dataclass(frozen=True)
class Watched:
    """What one client saw of one job over all its connections, beside what the streams hold."""

    api: str
    connections: int
    stored: int
    """Events that the streams hold for a watcher."""
    seen: int
    missed: int
    doubled: int
    in_order: bool
    """Whether what was seen is what is stored, in the order of each stream, the end last."""

    @property
    def kept(self) -> bool:
        """Whether it saw exactly what is stored."""
        return self.in_order and self.seen == self.stored and not self.missed and not self.doubled


@dataclass(frozen=True)
class Watchers:
    """All clients, and what struck them."""

    cuts: int
    """Both clients' connections reset, each time after both had heard something on theirs."""
    gateway_kills: int
    worker_kills: int
    clients: Sequence[Watched]


async def watch_through_cuts(
    folder: Path, plan: WatchPlan, on_fault: OnFault = lambda _struck: None
) -> Watchers:
    """Run a stack of its own under `folder`; a worker of chains takes the trainer's place in it."""
    state = StateFolder(folder / "state")
    options = StackOptions(http_port=free_port(), overrides={"TRAINER_ROLE": "serve"})
    async with running_stack(state, options, lambda _name, _line: None) as stack:
        url, trainer = stack.runtime.nats_url, stack.runtime.identity("trainer")
        async with (
            Bus.connect(url, trainer, name="trainer") as bus,
            Fleet.running(url, trainer, Plan(workers=1), folder) as fleet,
            TcpProxy.running(options.http_port) as http,
            TcpProxy.running(stack.runtime.grpc_ports["gateway"]) as grpc,
        ):
            job_id = await _submit(bus, plan)
            token = local_token(state)
            ids = SealedEventIds(stack.runtime.service_secret)
            asked = (token, job_id, partial(ids.unseal, job_id))
            watchers = [
                SseWatcher(f"http://127.0.0.1:{http.port}", *asked),
                GrpcWatcher(f"127.0.0.1:{grpc.port}", *asked),
            ]
            nemesis = _Nemesis(plan, stack, fleet, (http, grpc), watchers)
            async with asyncio.timeout(ENDS_WITHIN_SECONDS), asyncio.TaskGroup() as tasks:
                for each in watchers:
                    tasks.create_task(each.watch())
                tasks.create_task(nemesis.rage(on_fault))
            await fleet.stop()
            stored = await stored_events(bus, job_id)
    return Watchers(
        cuts=nemesis.cuts,
        gateway_kills=nemesis.gateway_kills,
        worker_kills=nemesis.worker_kills,
        clients=[compare(each, stored) for each in watchers],
    )


async def _submit(bus: Bus, plan: WatchPlan) -> str:
    spec = Struct()
    spec.update(
        {"steps": plan.steps, "step_seconds": plan.step_seconds, "save_every": plan.steps // 20}
    )
    job = await JobQueue(bus).submit(
        kind="train",
        prefix="ftjob",
        tenant=DEFAULT_TENANT,
        requested_by="chaos",
        idempotency_key="watched",
        spec=spec,
    )
    return job.job_id


class _Nemesis:
    """Strikes each time when both watchers have heard something on a connection of their own."""

    def __init__(
        self,
        plan: WatchPlan,
        stack: Stack,
        fleet: Fleet,
        proxies: Sequence[TcpProxy],
        watchers: Sequence[Watcher],
    ) -> None:
        self._stack = stack
        self._fleet = fleet
        self._proxies = proxies
        self._watchers = watchers
        self._dice = random.Random(1)
        self._faults = (
            [self._cut] * plan.cuts
            + [self._kill_gateway] * plan.gateway_kills
            + [self._kill_worker] * plan.worker_kills
        )
        self._dice.shuffle(self._faults)
        self.cuts = self.gateway_kills = self.worker_kills = 0

    async def rage(self, on_fault: OnFault) -> None:
        """Until all have struck, or the job has ended before."""
        for number, strike in enumerate(self._faults, 1):
            while not all(each.hears for each in self._watchers):
                if any(each.ended for each in self._watchers):
                    return
                await asyncio.sleep(LOOK_SECONDS)
            await asyncio.sleep(self._dice.uniform(0.0, 0.25))
            strike()
            for each in self._watchers:
                each.hears = False
            on_fault(number)

    def _cut(self) -> None:
        for proxy in self._proxies:
            proxy.cut()
        self.cuts += 1

    def _kill_gateway(self) -> None:
        os.kill(self._stack.processes["gateway"].pid, signal.SIGKILL)
        self.gateway_kills += 1

    def _kill_worker(self) -> None:
        self._fleet.places[0].kill()
        self.worker_kills += 1


async def stored_events(bus: Bus, job_id: str) -> list[Seen]:
    """What a watcher must be told: all states, and what was reported by who held the job."""
    states = [
        Seen.of_state(each.sequence, each.body) async for each in bus.replay([job_state(job_id)])
    ]
    figures, before = list[Seen](), JobProgress()
    async for stored in bus.replay([job_progress(job_id)]):
        report: JobProgress = stored.body
        if report.fence < before.fence:
            continue
        same = (report.fence, report.phase, report.done) == (
            before.fence,
            before.phase,
            before.done,
        )
        # One that says nothing new only keeps the claim alive.
        if report.metrics or not same:
            figures.append(Seen.of_report(stored.sequence, report))
        before = report
    return states + figures


def compare(watcher: Watcher, stored: Sequence[Seen]) -> Watched:
    """Each stream's events must have been seen in its order; the two may be interleaved."""
    seen, both = watcher.seen, ("state", "progress")
    same = all([e for e in seen if e.type == t] == [e for e in stored if e.type == t] for t in both)
    return Watched(
        api=watcher.api,
        connections=watcher.connections,
        stored=len(stored),
        seen=len(seen),
        missed=len(set(stored) - set(seen)),
        doubled=len(seen) - len(set(seen)),
        in_order=same and bool(seen) and seen[-1].is_end,
    )
