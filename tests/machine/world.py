"""Broker, workers and owners of jobs in one virtual time, and what may befall them."""

import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from google.protobuf.struct_pb2 import Struct
from modelmill.jobs.v1 import job_pb2 as pb
from modelmill_bus.bus import Bus
from modelmill_jobs.control import ControlJob
from modelmill_jobs.submit import JobQueue, SubmittedJob
from modelmill_jobs.worker import Worker
from modelmill_service_kit.errors import AlreadyExistsError, DomainError, UnavailableError
from modelmill_testkit.fake_nats.broker import FakeBroker
from modelmill_testkit.fake_nats.consumers import DurableConsumer
from modelmill_testkit.simulation import EPOCH, VirtualLoop

from tests.machine import fake_bus
from tests.machine.book import MAX_FAILURES, MAX_LOST, Book
from tests.machine.chain_work import ChainWork
from tests.machine.nodes import Answer, Node

CLAIM_SECONDS = 6.0
DURABLE = ("JOBS", "trainer-work-train")
LINGER_SECONDS = (0.0, 0.3, 2.0)
"""Until the broker notices that a dead process's connection is gone."""


class World:
    """Everything there is; the machine's rules act on it."""

    def __init__(
        self, loop: VirtualLoop, folder: Path, *, seed: int = 0, heedless: str = ""
    ) -> None:
        self.loop = loop
        self.broker = FakeBroker(loop, seed=seed, heedless=heedless)
        self.book = Book()
        self.counts: Counter[str] = Counter()
        self.places: set[str] = set()
        """Awaits at which a process died."""
        self.workers: list[Node] = []
        self.owners: list[Node] = []
        self.accepted: dict[str, Struct] = {}
        self.answers: list[Answer] = []
        self._folder = folder
        self._all: list[Node] = []
        self._store: dict[str, tuple[str, int]] = {}
        self._failing: dict[str, int] = {}
        self._buses: dict[str, Bus] = {}
        logging.getLogger("modelmill_jobs").setLevel(logging.CRITICAL)
        loop.run_until_complete(fake_bus.connect(self.broker, "setup"))
        for stream in self.broker.streams.values():
            stream.on_stored.insert(0, self.book.write)

    # Who there is

    def start_worker(self, slots: int = 1) -> Node:
        """One more worker."""
        node = self._node("worker")
        self.workers.append(node)
        node.main = node.process.start(self._work(node, slots))
        return node

    def owner(self, index: int) -> Node:
        """A process that callers ask; a dead one has been replaced."""
        while len(self.owners) <= index:
            self.owners.append(self._start_owner())
        if not self.owners[index].process.alive:
            self.owners[index] = self._start_owner()
        return self.owners[index]

    def _start_owner(self) -> Node:
        node = self._node("owner")
        node.main = node.process.start(self._connect(node))
        while node.client is None or not node.main.done():
            self.loop.advance(0.05)
        return node

    def _node(self, role: str) -> Node:
        node = Node(self.loop, f"{role}-{len(self._all)}")
        self._all.append(node)
        node.process.on_death.append(lambda: self._bereave(node))
        node.process.on_freeze.append(lambda: self._miss(node))
        return node

    def _bereave(self, node: Node) -> None:
        self.counts["crashes"] += 1
        self.places.add(node.process.died_at)
        self.strike(node)
        if node.client is not None:
            connection = node.client.connection
            linger = LINGER_SECONDS[self.counts["crashes"] % len(LINGER_SECONDS)]
            self.broker.at(self.loop.now + linger, connection.close)

    def _miss(self, node: Node) -> None:
        self.counts["freezes"] += 1
        self.strike(node)

    def strike(self, node: Node) -> None:
        """Remember that something befell it."""
        node.struck_at.append(self.loop.now)

    async def _connect(self, node: Node) -> Bus:
        bus, node.client = await fake_bus.connect(self.broker, node.name)
        self._buses[node.name] = bus
        return bus

    async def _work(self, node: Node, slots: int) -> None:
        bus = await self._connect(node)
        worker = Worker(
            bus,
            [ChainWork(self._store, self._failing)],
            service="trainer",
            work_root=self._folder,
            slots=slots,
            claim_seconds=CLAIM_SECONDS,
            max_failures=MAX_FAILURES,
            max_lost=MAX_LOST,
            retry_seconds=0.5,
        )
        worker._owner = node.name  # so that the book can tell whose claim it is
        await worker.run(node.stopping)

    # What befalls them

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Do it then, whatever else happens meanwhile."""
        self.broker.at(self.loop.now + seconds, action)

    def thaw(self, node: Node) -> None:
        """Let a frozen process go on."""
        if node.process.frozen:
            node.process.thaw()
            self.strike(node)

    def mend(self, node: Node) -> None:
        """Let a cut connection come back."""
        if node.client is not None:
            node.client.connection.mend()
            self.strike(node)

    def take_broker_away(self, *, kill: bool, forgotten: int, seconds: float) -> None:
        """Kill or freeze it for a while, unless it is away already."""
        if not self.broker.serving:
            return
        self.counts["broker kills" if kill else "broker pauses"] += 1
        self._strike_all()

        def back() -> None:
            if not self.broker.serving:
                self._strike_all()
                if kill:
                    self.broker.start(forgotten_acks=forgotten)
                else:
                    self.broker.resume()

        if kill:
            self.broker.kill()
        else:
            self.broker.pause()
        self.later(seconds, back)

    def _strike_all(self) -> None:
        for node in self.workers:
            self.strike(node)

    # What callers do

    def submit(self, owner: Node, key: str, tenant: str, spec: Struct) -> None:
        """Ask for a job, and go on without waiting for the answer."""

        async def ask(bus: Bus) -> SubmittedJob:
            return await JobQueue(bus).submit(
                kind="train",
                prefix="ftjob",
                tenant=tenant,
                requested_by="machine",
                idempotency_key=key,
                spec=spec,
            )

        def heard(job: SubmittedJob) -> None:
            record = self.book.jobs.get(job.job_id)
            if record is None or record.requests[0][1].spec != spec:
                self.book.broken.append(f"{job.job_id} was accepted but is not in the stream")
            self.accepted[job.job_id] = spec
            self.counts["accepted"] += 1

        self._ask(owner, ask, heard, lambda _error: None)

    def desired_state(
        self, owner: Node, tenant: str, job_id: str, desired_state: "pb.JobDesiredState.ValueType"
    ) -> None:
        """Ask something of a job, and go on without waiting for the answer."""

        async def ask(bus: Bus) -> int:
            control = ControlJob(bus, ["train"])
            return await control(
                tenant=tenant, job_id=job_id, desired_state=desired_state, requested_by="machine"
            )

        def heard(refused: str) -> None:
            self.counts["desired states answered"] += not refused
            control_signals = len(self.book.jobs[job_id].control_signals)
            self.answers.append(Answer(job_id, desired_state, refused, control_signals))

        self._ask(owner, ask, lambda _sequence: heard(""), lambda error: heard(error.reason))

    def _ask(
        self,
        owner: Node,
        ask: Callable[[Bus], Awaitable[Any]],
        heard: Callable[[Any], None],
        refused: Callable[[DomainError], None],
    ) -> None:
        async def call() -> None:
            try:
                answer = await ask(self._buses[owner.name])
            except UnavailableError:
                self.counts["unavailable"] += 1
            except AlreadyExistsError:
                self.counts["refused keys"] += 1
            except DomainError as error:
                refused(error)
            else:
                heard(answer)

        owner.process.start(call())

    # The end

    def end_faults(self) -> None:
        """From here on nothing goes wrong any more."""
        if not self.broker.serving:
            self.broker.start()
            self._strike_all()
        for node in self._all:
            node.process.die_after(-1)
            if node.process.alive and node.process.frozen:
                node.process.thaw()
            if node.client is not None:
                node.client.connection.mishaps.clear()
                node.client.connection.mend()
        if not any(node.works for node in self.workers):
            self.start_worker()

    def unsettled_deliveries(self) -> int:
        """Of the workers' durable consumer; all that is requested when there is none yet."""
        consumer = self.broker.consumers.get(DURABLE)
        if isinstance(consumer, DurableConsumer):
            return consumer.unsettled()
        return len(self.broker.streams["JOBS"].messages)

    def close(self) -> None:
        """Unwind every process; nothing of it reaches the broker any more."""
        for node in self._all:
            if node.client is not None:
                node.client.connection.close()
        for node in self._all:
            node.process.bury()
        logging.getLogger("modelmill_jobs").setLevel(logging.NOTSET)

    def fallen(self) -> list[str]:
        """Workers that ended by themselves."""
        return [
            f"{node.name} fell over: {node.main!r}"
            for node in self.workers
            if node.works and node.main is not None and node.main.done()
        ]

    def robbed(self) -> list[str]:
        """Claims that were taken from workers whom nothing had befallen since."""
        nodes = {node.name: node for node in self._all}
        return [
            f"{job_id} was taken from {owner}, who was well, at {until - EPOCH:.3f}"
            for job_id, owner, since, until in self.book.takeovers
            if not any(
                since - EPOCH - 2 * CLAIM_SECONDS <= at <= until - EPOCH
                for at in nodes[owner].struck_at
            )
        ]
