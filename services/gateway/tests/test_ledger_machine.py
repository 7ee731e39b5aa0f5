"""Any order of requests, writes, losses, crashes and returns keeps a budget right."""

import random

import pytest
from gateway_support.holders import PRICE, TERMS, Holder, World
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from modelmill_gateway.domain.ledger.budget import Amounts, Limits

FATES = st.sampled_from(["lands", "lands", "lands", "lands in silence", "lands later", "is lost"])
WALKS = 300
SHARES = st.sampled_from([0.0, 0.3, 1.0])


class Ledger(RuleBasedStateMachine):
    """Several holders of one budget."""

    @initialize(
        holders=st.integers(1, 3),
        tokens=st.sampled_from([60, 200, 1000]),
        micros=st.sampled_from([0, 300]),
        parallel=st.sampled_from([0, 3]),
        rate=st.sampled_from([0, 5]),
    )
    def begin(self, holders: int, tokens: int, micros: int, parallel: int, rate: int) -> None:
        self.world = World(
            Limits(rate, 0, parallel, tokens, micros),
            holders,
        )

    def some(self, number: int, *, alive: bool = True) -> Holder | None:
        found = [each for each in self.world.holders if (each.account is not None) is alive]
        return found[number % len(found)] if found else None

    @rule(number=st.integers(0, 5), tokens=st.integers(1, 70))
    def ask(self, number: int, tokens: int) -> None:
        if holder := self.some(number):
            self.world.ask(holder, Amounts(1, tokens, 1, tokens, tokens * PRICE))

    @rule(number=st.integers(0, 5), which=st.integers(0, 9), share=SHARES)
    def finish(self, number: int, which: int, share: float) -> None:
        if (holder := self.some(number)) and holder.open:
            self.world.finish(holder, holder.open[which % len(holder.open)], share)

    @rule(number=st.integers(0, 5), fate=FATES)
    def write(self, number: int, fate: str) -> None:
        if holder := self.some(number):
            self.world.write(holder, fate)

    @rule(number=st.integers(0, 5))
    def deliver(self, number: int) -> None:
        if holder := self.some(number):
            self.world.deliver(holder)

    @rule()
    def exchange(self) -> None:
        for _ in range(4):
            for holder in self.world.holders:
                if holder.account is not None:
                    self.world.deliver(holder)
                    self.world.write(holder, "lands")
                    self.world.look()

    @precondition(lambda self: self.world.on_their_way)
    @rule(which=st.integers(0, 5))
    def arrive_late(self, which: int) -> None:
        waiting = self.world.on_their_way
        self.world.land(waiting.pop(which % len(waiting)))

    @rule(number=st.integers(0, 5), share=SHARES)
    def crash(self, number: int, share: float) -> None:
        if holder := self.some(number):
            self.world.crash(holder, share)

    @rule(number=st.integers(0, 5))
    def come_back(self, number: int) -> None:
        if holder := self.some(number, alive=False):
            self.world.start(holder)

    @rule(milliseconds=st.sampled_from([1, 500, TERMS.lease_ms // 2 + 1, TERMS.grace_ms + 7_000]))
    def pass_time(self, milliseconds: int) -> None:
        self.world.now_ms += milliseconds

    @invariant()
    def is_right(self) -> None:
        if hasattr(self, "world"):
            self.world.look()

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.look()
            self.world.settle_down()


def test_a_lease_that_ended_while_nobody_was_there_is_given_back_by_who_comes_back():
    world = World(Limits(5, 0, 0, 60, 0), holders=1)
    (holder,) = world.holders
    world.ask(holder, Amounts(1, 61, 1, 61, 61 * PRICE))
    world.write(holder, "lands")
    assert world.record.leased != Amounts()
    world.now_ms += TERMS.grace_ms + 7_000
    world.crash(holder, 0.0)

    world.settle_down()


TestLedger = Ledger.TestCase
TestLedger.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def walk(seed: int, steps: int) -> int:
    """A long walk of drawn steps, longer than Hypothesis takes; how many were refused."""
    draw = random.Random(seed)
    limits = Limits(0, 0, draw.choice([0, 3]), draw.choice([100, 200, 2000]), 0)
    world = World(limits, draw.choice([2, 3]))
    for _ in range(steps):
        holder = draw.choice(world.holders)
        step = draw.random()
        if holder.account is None:
            if step < 0.3:
                world.start(holder)
        elif step < 0.3:
            tokens = draw.randint(1, 70)
            world.ask(holder, Amounts(1, tokens, 1, tokens, tokens * PRICE))
        elif step < 0.5 and holder.open:
            world.finish(holder, draw.choice(holder.open), draw.choice([0.0, 0.0, 0.05, 0.2]))
        elif step < 0.52:
            world.crash(holder, draw.choice([0.0, 0.1, 0.5]))
        elif step < 0.55 and world.on_their_way:
            world.land(world.on_their_way.pop(draw.randrange(len(world.on_their_way))))
        elif step < 0.6:
            world.now_ms += draw.choice([1, 500, 3_001, 37_000])
        elif step < 0.7:
            world.deliver(holder)
        else:
            fates = ["lands"] * 6 + ["lands in silence", "lands later", "is lost"]
            world.write(holder, draw.choice(fates))
        world.look()
    world.settle_down()
    return world.refused


@pytest.mark.tier("test")
def test_no_walk_overshoots_leaks_or_refuses_what_fits():
    refused = sum(walk(seed, 300) for seed in range(WALKS))

    assert refused > WALKS
