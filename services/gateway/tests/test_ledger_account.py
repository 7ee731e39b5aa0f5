"""One sentence for each rule of leases; `test_ledger_machine` drives them all at once."""

from dataclasses import replace

from gateway_support.holders import PRICE, TERMS, Holder, Request, World
from modelmill_gateway.domain.ledger.account import Outcome
from modelmill_gateway.domain.ledger.budget import Amounts, Budget, Lease, Limits, Settled
from modelmill_gateway.domain.ledger.plan import release_lease


def need(tokens: int) -> Amounts:
    return Amounts(1, tokens, 1, tokens, tokens * PRICE)


def exchange(world: World, rounds: int = 6) -> None:
    """Everybody hears, and writes what there is to be written."""
    for _ in range(rounds):
        for holder in world.holders:
            if holder.account is not None:
                world.deliver(holder)
                world.write(holder, "lands")
                world.look()


def ask(world: World, holder: Holder, tokens: int) -> Request | None:
    """Ask; the request if it waits."""
    world.ask(holder, need(tokens))
    return holder.waiting[-1] if holder.waiting else None


def test_the_first_request_waits_and_the_next_ones_do_not():
    world = World(Limits(tokens=1000), 1)
    (holder,) = world.holders

    assert ask(world, holder, 10) is not None
    exchange(world)
    assert ask(world, holder, 10) is None
    assert len(holder.open) == 2


def test_what_another_has_and_does_not_use_is_recalled():
    world = World(Limits(tokens=100), 2)
    first, second = world.holders
    ask(world, first, 20)
    exchange(world)
    world.finish(first, first.open[0], 0.0)
    assert first.account is not None
    assert first.account.unused.tokens > 0

    ask(world, second, 95)
    exchange(world)

    assert len(second.open) == 1
    assert world.refused == 0


def test_what_exceeds_a_limit_whatever_others_have_is_refused_at_once():
    world = World(Limits(tokens=100), 2)

    assert ask(world, world.holders[0], 101) is None
    assert world.refused == 1


def test_what_another_really_uses_is_refused_after_two_recalls():
    world = World(Limits(tokens=100), 2)
    first, second = world.holders
    ask(world, first, 60)
    exchange(world)

    ask(world, second, 60)
    exchange(world)

    assert world.refused == 1
    assert world.record.recall >= 2


def test_who_comes_while_a_recall_is_on_its_way_is_not_refused_by_what_was_told_before_it_came():
    world = World(Limits(parallel_requests=1), 2)
    first, second = world.holders
    ask(world, first, 10)
    exchange(world, 1)
    assert len(first.open) == 1

    ask(world, second, 10)
    exchange(world, 1)
    world.deliver(first)
    world.write(first, "lands")
    world.deliver(second)
    world.write(second, "lands in silence")
    assert world.record.recall == 2
    world.deliver(first)
    world.write(first, "lands")
    # The place is free when the next one comes, and the second holder has not heard anything.
    world.finish(first, first.open[0], 0.0)
    late = ask(world, second, 10)
    assert late is not None
    world.deliver(second)
    world.look()

    assert world.refused == 1, "who came before is refused: a fact at the time"
    assert late.verdict is None
    exchange(world)
    assert second.open == [late]


def test_while_a_dead_holders_use_is_not_known_nobody_is_refused():
    world = World(Limits(tokens=100), 2)
    first, second = world.holders
    ask(world, first, 60)
    exchange(world)
    world.crash(first, 0.5)

    waiting = ask(world, second, 80)
    exchange(world)
    assert waiting is not None
    assert waiting.verdict is None

    world.start(first)
    exchange(world)
    # 30 of its 60 were used: the truth is known again, and 80 do not fit.
    assert waiting.verdict is not None
    assert waiting.verdict.outcome is Outcome.EXCEEDED


def test_after_the_grace_a_dead_holders_lease_counts_as_used_and_is_refunded_on_its_return():
    world = World(Limits(tokens=100), 2)
    first, second = world.holders
    ask(world, first, 40)
    exchange(world)
    world.crash(first, 0.25)
    world.now_ms += TERMS.lease_ms + TERMS.grace_ms + 1

    ask(world, second, 80)
    exchange(world)
    assert world.refused == 1

    world.start(first)
    exchange(world)
    ask(world, second, 80)
    exchange(world)
    assert len(second.open) == 1
    assert world.record.spent_tokens == 10


def test_what_was_given_back_in_a_write_of_unknown_fate_is_not_used():
    world = World(Limits(tokens=100), 2)
    first, second = world.holders
    ask(world, first, 20)
    exchange(world)
    world.finish(first, first.open[0], 0.0)
    assert ask(world, second, 95) is not None
    world.deliver(second)
    world.write(second, "lands")  # the recall
    world.deliver(first)
    world.write(first, "lands later")  # what is given back, and may still get there

    assert ask(world, first, 20) is not None
    world.land(world.on_their_way[0])
    exchange(world)
    assert len(first.open) + len(second.open) + world.refused == 2


def test_a_process_that_comes_back_uses_nothing_until_it_is_heard():
    world = World(Limits(tokens=100), 1)
    (holder,) = world.holders
    ask(world, holder, 20)
    exchange(world)
    world.crash(holder, 1.0)
    world.start(holder)

    assert ask(world, holder, 20) is not None


def test_a_write_that_times_out_and_lands_changes_nothing_twice():
    world = World(Limits(tokens=1000), 1)
    (holder,) = world.holders
    ask(world, holder, 10)
    exchange(world)
    world.finish(holder, holder.open[0], 1.0)
    world.now_ms += TERMS.lease_ms
    world.write(holder, "lands in silence")
    world.write(holder, "lands")
    exchange(world)

    assert world.record.spent_tokens == 10


def test_an_idle_holder_gives_its_lease_back():
    world = World(Limits(tokens=1000), 1)
    (holder,) = world.holders
    ask(world, holder, 10)
    exchange(world)
    world.settle_down()

    assert world.record.leased == Amounts()


def in_flight_without_a_lease() -> tuple[World, Holder]:
    """A request whose only limit is that of requests a minute, told since it began."""
    world = World(Limits(requests_per_minute=1), 1)
    (holder,) = world.holders
    ask(world, holder, 10)
    exchange(world)
    world.now_ms += TERMS.lease_ms // 2 + 1
    exchange(world)
    assert world.record.leased == Amounts()
    return world, holder


def test_an_idle_holder_gives_a_rate_back_although_more_of_it_becomes_free_all_the_while():
    world = World(Limits(requests_per_minute=60), 1)
    (busy,) = world.holders
    for _ in range(40):
        world.ask(busy, Amounts(requests=1))
        world.write(busy, "lands")
        world.look()
        for request in [*busy.open]:
            world.finish(busy, request, 0.0)
    for _ in range(2 * TERMS.lease_ms // 250):
        world.now_ms += 250
        world.write(busy, "lands")

    assert world.record.leased == Amounts()


def test_what_a_request_used_is_told_although_nothing_is_leased_any_more():
    world, holder = in_flight_without_a_lease()
    world.finish(holder, holder.open[0], 1.0)
    world.now_ms += TERMS.lease_ms // 2 + 1
    exchange(world)

    assert world.record.spent_tokens == 10


def test_a_holder_that_leaves_tells_what_was_used_although_nothing_is_leased_any_more():
    world, holder = in_flight_without_a_lease()
    world.finish(holder, holder.open[0], 1.0)
    assert holder.account is not None
    write = release_lease(holder.account, world.now_ms)

    assert write is not None
    assert write.body.spent_tokens == 10
    world.land(write)
    world.deliver(holder)
    assert release_lease(holder.account, world.now_ms) is None


def test_what_a_dead_process_had_used_is_told_by_its_next_start_although_nothing_was_leased():
    world, holder = in_flight_without_a_lease()
    world.crash(holder, 1.0)
    world.start(holder)
    exchange(world)

    assert world.record.spent_tokens == 10


def test_a_new_period_begins_with_nothing_spent_and_leases_stay():
    lease = Lease("holder-0", Amounts(tokens=30), Settled(tokens=40))
    day = 86_400_000
    budget = Budget("key-1", "acme", Limits(tokens=100, period="day"), 70, 0, day, leases=(lease,))

    same, next_day = budget.at(2 * day - 1), budget.at(2 * day)

    assert (same.spent_tokens, same.free.tokens) == (70, 0)
    assert (next_day.spent_tokens, next_day.free.tokens) == (0, 70)


def test_a_rate_fades_by_its_limit_a_minute():
    budget = Budget("key-1", "acme", Limits(requests_per_minute=60), fading=(60 * 60_000, 0))

    assert budget.at(0).free.requests == 0
    assert budget.at(500).free.requests == 0
    assert budget.at(1_000).free.requests == 1
    assert budget.at(60_000).free.requests == 60


def test_a_lowered_limit_refuses_and_takes_nothing_away():
    world = World(Limits(tokens=100), 1)
    (holder,) = world.holders
    ask(world, holder, 50)
    exchange(world)
    assert holder.account is not None

    world.limits = Limits(tokens=40)
    world.record = replace(world.record, limits=world.limits)
    world.sequence += 1
    holder.account.update(world.record, world.sequence, world.now_ms)

    assert holder.account.hold(need(1), world.now_ms).outcome is Outcome.EXCEEDED
    assert holder.account.held.tokens == 50
