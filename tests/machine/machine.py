"""The state machine: rules that people, processes, networks and brokers go by."""

import tempfile
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar

import hypothesis.strategies as st
from google.protobuf.struct_pb2 import Struct
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from modelmill.jobs.v1 import job_pb2 as pb
from modelmill_bus import kinds
from modelmill_testkit.fake_nats.broker import Mishap
from modelmill_testkit.simulation import virtual_time

from tests.machine.drawing import (
    MAX_WORKERS,
    TENANT_OF,
    awaits,
    control_signals,
    keys,
    owners,
    spans,
    specs,
    waits,
    workers,
)
from tests.machine.endings import unkept
from tests.machine.nodes import Node
from tests.machine.world import World

SETTLE_SECONDS = 300.0
LAST_WRITE_SECONDS = 15.0


class ProtocolMachine(RuleBasedStateMachine):
    """Jobs, workers and owners over a broker in memory, and whatever may befall them."""

    heedless: ClassVar[str] = ""
    totals: ClassVar[Counter[str]] = Counter()
    places: ClassVar[set[str]] = set()

    def __init__(self) -> None:
        super().__init__()
        self._closing = ExitStack()
        self.world: World

    @initialize(seed=st.integers(0, 2**16), spec=specs)
    def begin(self, seed: int, spec: dict[str, Any]) -> None:
        folder = self._closing.enter_context(tempfile.TemporaryDirectory(prefix="machine-"))
        loop = self._closing.enter_context(virtual_time())
        self.world = World(loop, Path(folder), seed=seed, heedless=self.heedless)
        self._closing.callback(self.world.close)
        self.world.start_worker()
        self.submit(0, "k0", spec, 0.03)

    # What people do

    @rule(owner=owners, key=keys, spec=specs, wait=waits)
    def submit(self, owner: int, key: str, spec: dict[str, Any], wait: float) -> None:
        body = Struct()
        body.update(spec)
        self.world.submit(self.world.owner(owner), key, TENANT_OF[key], body)
        self.world.loop.advance(wait)

    @rule(owner=owners, key=keys, desired_state=control_signals, wait=waits)
    def desired_state(
        self, owner: int, key: str, desired_state: "pb.JobDesiredState.ValueType", wait: float
    ) -> None:
        self._desired_state(self.world.owner(owner), key, desired_state, wait)

    @rule(key=keys, first=control_signals, second=control_signals, wait=waits)
    def two_requests_cross(
        self,
        key: str,
        first: "pb.JobDesiredState.ValueType",
        second: "pb.JobDesiredState.ValueType",
        wait: float,
    ) -> None:
        self._desired_state(self.world.owner(0), key, first, 0.0)
        self._desired_state(self.world.owner(1), key, second, wait)

    @rule(key=keys, desired_state=control_signals, after=awaits, wait=waits)
    def owner_dies_while_it_acts_on_a_request(
        self, key: str, desired_state: "pb.JobDesiredState.ValueType", after: int, wait: float
    ) -> None:
        owner = self.world.owner(0)
        owner.process.die_after(after)
        self._desired_state(owner, key, desired_state, wait)

    def _desired_state(
        self, owner: Node, key: str, desired_state: "pb.JobDesiredState.ValueType", wait: float
    ) -> None:
        tenant = TENANT_OF[key]
        job_id = kinds.job_id("ftjob", tenant=tenant, kind="train", idempotency_key=key)
        if job_id in self.world.book.jobs:
            self.world.desired_state(owner, tenant, job_id, desired_state)
        self.world.loop.advance(wait)

    # What befalls processes

    @rule(slots=st.integers(1, 2), wait=waits)
    def worker_starts(self, slots: int, wait: float) -> None:
        if sum(node.process.alive for node in self.world.workers) < MAX_WORKERS:
            self.world.start_worker(slots)
        self.world.loop.advance(wait)

    @rule(index=workers, after=awaits, wait=waits)
    def worker_dies(self, index: int, after: int, wait: float) -> None:
        if (node := self._worker(index)) is not None:
            node.process.die_after(after)
        self.world.loop.advance(wait)

    @rule(
        index=workers,
        subjects=st.sampled_from(["job.state.*", "model.>"]),
        after=st.integers(0, 10),
        span=spans,
        dies=st.booleans(),
        wait=waits,
    )
    def worker_dies_or_freezes_around_a_write(
        self, index: int, subjects: str, after: int, span: float, dies: bool, wait: float
    ) -> None:
        node = self._worker(index)
        if node is None or node.client is None:
            return

        def strike() -> None:
            if dies:
                node.process.die_after(after)
            else:
                node.process.freeze_after(after)
                self.world.later(span, lambda: self.world.thaw(node))

        node.client.connection.mishaps.append(Mishap(subjects, meanwhile=strike))
        self.world.loop.advance(wait)

    @rule(index=workers, wait=waits)
    def worker_is_told_to_stop(self, index: int, wait: float) -> None:
        if (node := self._worker(index)) is not None:
            node.stopping.set()
            self.world.counts["stops"] += 1
        self.world.loop.advance(wait)

    @rule(index=workers, span=spans, wait=waits)
    def worker_freezes(self, index: int, span: float, wait: float) -> None:
        if (node := self._worker(index)) is not None:
            node.process.freeze()
            self.world.later(span, lambda: self.world.thaw(node))
        self.world.loop.advance(wait)

    def _worker(self, index: int) -> Node | None:
        alive = [node for node in self.world.workers if node.process.alive]
        return alive[index % len(alive)] if alive else None

    # What befalls messages and the broker

    @rule(
        index=st.integers(0, MAX_WORKERS + 1),
        mishap=st.sampled_from(["lost answer", "late"]),
        seconds=st.sampled_from([1.0, 3.0, 8.0]),
        subjects=st.sampled_from(["job.state.*", "job.>", "model.>"]),
        wait=waits,
    )
    def write_goes_astray(
        self, index: int, mishap: str, seconds: float, subjects: str, wait: float
    ) -> None:
        if (node := self._any(index)) is not None and node.client is not None:
            late = 0.0 if mishap == "lost answer" else seconds
            node.client.connection.mishaps.append(
                Mishap(subjects, lose_answer=not late, late_seconds=late)
            )
            self.world.counts["late writes" if late else "lost answers"] += 1
        self.world.loop.advance(wait)

    @rule(index=st.integers(0, MAX_WORKERS + 1), lose=st.booleans(), span=spans, wait=waits)
    def connection_breaks(self, index: int, lose: bool, span: float, wait: float) -> None:
        if (node := self._any(index)) is not None and node.client is not None:
            node.client.connection.cut(lose_sent=lose)
            self.world.strike(node)
            self.world.later(span, lambda: self.world.mend(node))
            self.world.counts["cuts"] += 1
        self.world.loop.advance(wait)

    @rule(kill=st.booleans(), forgotten=st.integers(0, 3), span=spans, wait=waits)
    def broker_is_away(self, kill: bool, forgotten: int, span: float, wait: float) -> None:
        self.world.take_broker_away(kill=kill, forgotten=forgotten, seconds=span)
        self.world.loop.advance(wait)

    def _any(self, index: int) -> Node | None:
        return self.world.owner(index % 2) if index >= MAX_WORKERS else self._worker(index)

    @rule(seconds=st.sampled_from([0.5, 3.0, 15.0, 40.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.loop.advance(seconds)

    # What is promised

    @invariant()
    def nothing_is_broken(self) -> None:
        if hasattr(self, "world"):
            broken = [*self.world.book.broken, *self.world.fallen(), *self.world.robbed()]
            assert not broken, broken

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            self._everything_ends_well()
        finally:
            self._count()
            self._closing.close()

    def _everything_ends_well(self) -> None:
        world = self.world
        if world.book.broken:
            return  # told already
        world.end_faults()
        world.loop.advance(LAST_WRITE_SECONDS)
        until = world.loop.now + SETTLE_SECONDS
        while (left := unkept(world)) and world.loop.now < until:
            world.loop.advance(2.0)
        assert not left, left
        self.nothing_is_broken()

    def _count(self) -> None:
        world, kind = self.world, type(self)
        kind.totals.update(world.counts)
        kind.totals.update(world.book.counts)
        kind.totals["examples"] += 1
        kind.totals["steps of processes"] += world.loop.steps
        kind.totals["virtual seconds"] += int(world.loop.now)
        kind.totals["takeovers"] += len(world.book.takeovers)
        kind.totals["jobs"] += len(world.book.jobs)
        kind.places |= world.places
