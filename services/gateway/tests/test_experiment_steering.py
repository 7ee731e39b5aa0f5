"""Decisions are carried out once by whichever replica comes first, also after crashes."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest
import pytest_asyncio
from modelmill.gateway.v1 import gateway_events_pb2 as pb
from modelmill.registry.v1.model_events_pb2 import AliasState
from modelmill_bus.bus import Bus
from modelmill_bus.errors import StaleWriteError
from modelmill_bus.read_model import until_seen
from modelmill_experiments.phases import COMPARED, WATCHED, PhaseDecision
from modelmill_experiments.sequential_test import Decision, Verdict
from modelmill_gateway.experiments.experiment_book import ExperimentBook
from modelmill_gateway.experiments.outcomes import outcome_of
from modelmill_gateway.experiments.run_experiments import START_SECONDS, RunExperiments
from modelmill_gateway.experiments.steer_experiment import SteerExperiment
from modelmill_registry.aliases import AliasBook
from modelmill_testkit.shared_nats import shared_nats

TENANT, ALIAS, ID = "acme", "helpdesk", "exp-1"
PROMOTE = PhaseDecision(COMPARED, Decision(Verdict.PROMOTE, "new", "completion", 90.0, 80.0, 700))
ROLL_BACK = PhaseDecision(WATCHED, Decision(Verdict.ROLL_BACK, "new", "errors", 90.0, 80.0, 50))


class DiedError(Exception):
    """The process ended here."""


class DyingBook(ExperimentBook):
    """That of a process that ends before it writes a record."""

    async def write(self, record: pb.ExperimentState, *, expected: int) -> int:
        raise DiedError


@dataclass
class Replica:
    """What one process knows of the bus."""

    bus: Bus
    book: ExperimentBook
    aliases: AliasBook
    runner: RunExperiments
    steer: SteerExperiment

    async def carry_out(
        self, state: pb.ExperimentState, decisions: Sequence[PhaseDecision]
    ) -> pb.ExperimentState:
        return await self.steer.carry_out(state, outcome_of(state, decisions), decisions)

    async def alias(self) -> AliasState:
        await self.aliases.catch_up()
        stored = self.aliases.stored(TENANT, ALIAS)
        assert stored is not None
        return stored.body

    async def record(self) -> pb.ExperimentState:
        return (await self.book.newest(TENANT, ID)).body


@pytest_asyncio.fixture
async def replicas() -> AsyncIterator[list[Replica]]:
    async with AsyncExitStack() as stack:
        nats = await stack.enter_async_context(shared_nats())
        opened, following = [], []
        for _ in range(2):
            bus = await stack.enter_async_context(Bus.connect(nats.url, nats.token, name="gateway"))
            book, aliases = ExperimentBook(bus), AliasBook(bus)
            steer = SteerExperiment(book, aliases)
            runner = RunExperiments(bus, book, steer, turn_seconds=0.1)
            opened.append(Replica(bus, book, aliases, runner, steer))
            following += [asyncio.create_task(it.run()) for it in (book, aliases)]
        yield opened
        for task in following:
            task.cancel()


async def started(replica: Replica) -> pb.ExperimentState:
    """An experiment that runs on an alias of one version."""
    sequence = await replica.aliases.move(TENANT, ALIAS, "mv-old", moved_by="ann", expected=0)
    await until_seen(replica.aliases, sequence)
    state = pb.ExperimentState(
        experiment_id=ID,
        tenant=TENANT,
        alias=ALIAS,
        arms=[
            pb.ExperimentArm(name="base", version_id="mv-old", share=0.5),
            pb.ExperimentArm(name="new", version_id="mv-new", share=0.5),
        ],
        primary="completion",
        alpha=0.05,
        horizon=1000,
        window_seconds=60.0,
        holdback=0.2,
        status=pb.EXPERIMENT_STATUS_STARTING,
        alias_sequence=sequence,
    )
    state.created_at.GetCurrentTime()
    await until_seen(replica.book, await replica.book.write(state, expected=0))
    return await replica.carry_out(state, ())


async def moved_and_died(replica: Replica, state: pb.ExperimentState) -> None:
    """A replica that moved the alias for a promotion, and ended before it wrote that down."""
    with pytest.raises(DiedError):
        await SteerExperiment(DyingBook(replica.bus), replica.aliases).carry_out(
            state, outcome_of(state, [PROMOTE]), [PROMOTE]
        )


def shares(alias: AliasState) -> dict[str, float]:
    return {it["name"]: it["weight"] for it in alias.options["variants"]}


async def test_an_experiment_starts_with_the_shares_on_the_alias(replicas: list[Replica]):
    state = await started(replicas[0])

    assert state.status == pb.EXPERIMENT_STATUS_RUNNING
    alias = await replicas[1].alias()
    assert (shares(alias), alias.moved_by) == ({"base": 0.5, "new": 0.5}, f"experiment:{ID}")


async def test_of_two_replicas_at_once_one_carries_it_out_and_both_know(replicas: list[Replica]):
    state = await started(replicas[0])

    done = await asyncio.gather(*(each.carry_out(state, [PROMOTE]) for each in replicas))

    assert {each.status for each in done} == {pb.EXPERIMENT_STATUS_WATCHING}
    assert shares(await replicas[1].alias()) == {"new": 0.8, "base": 0.2}
    record = await replicas[1].record()
    assert (record.phase, len(record.decisions)) == (WATCHED, 1)


async def test_who_comes_after_a_crash_writes_down_what_was_done(replicas: list[Replica]):
    state = await started(replicas[0])
    await moved_and_died(replicas[0], state)

    done = await replicas[1].carry_out(state, [PROMOTE])

    assert done.status == pb.EXPERIMENT_STATUS_WATCHING
    assert done.alias_sequence > state.alias_sequence


async def test_who_knows_more_after_a_crash_goes_on_from_what_was_done(replicas: list[Replica]):
    state = await started(replicas[0])
    await moved_and_died(replicas[0], state)

    done = await replicas[1].carry_out(state, [PROMOTE, ROLL_BACK])

    assert done.status == pb.EXPERIMENT_STATUS_ROLLED_BACK
    assert (await replicas[1].alias()).version_id == "mv-old"


async def test_who_knows_less_than_the_record_leaves_the_alias(replicas: list[Replica]):
    state = await started(replicas[0])
    await replicas[0].carry_out(state, [PROMOTE, ROLL_BACK])

    late = await replicas[1].carry_out(state, [PROMOTE])

    assert late.status == pb.EXPERIMENT_STATUS_ROLLED_BACK
    assert (await replicas[1].alias()).version_id == "mv-old"


async def test_an_alias_that_somebody_moved_ends_it_and_stays(replicas: list[Replica]):
    state = await started(replicas[0])
    await replicas[0].aliases.move(
        TENANT, ALIAS, "mv-other", moved_by="ben", expected=state.alias_sequence
    )

    done = await replicas[1].carry_out(state, [PROMOTE])

    assert done.status == pb.EXPERIMENT_STATUS_STOPPED
    assert "moved the alias helpdesk by hand" in done.reason
    assert (await replicas[1].alias()).version_id == "mv-other"


async def test_keys_behind_the_end_count_nothing(replicas: list[Replica]):
    state = await started(replicas[0])
    await replicas[0].carry_out(state, [PROMOTE, ROLL_BACK])
    await replicas[0].book.catch_up()

    unit = pb.ExperimentUnit(key_digest=b"late", arm="base")
    await until_seen(replicas[0].book, await replicas[0].book.append(state, [unit]))

    assert replicas[0].book.evidence(ID).current.keys == 0


async def test_keys_are_stored_in_one_order_whoever_counts_them(replicas: list[Replica]):
    state = await started(replicas[0])
    for replica in replicas:
        await replica.book.catch_up()
    units = [pb.ExperimentUnit(key_digest=bytes([it]), arm="base") for it in range(3)]

    appended = await asyncio.gather(
        replicas[0].book.append(state, units[:2]),
        replicas[1].book.append(state, units[1:]),
        return_exceptions=True,
    )
    [late] = [at for at, each in enumerate(appended) if isinstance(each, StaleWriteError)]
    await replicas[late].book.catch_up()
    last = await replicas[late].book.append(state, units)

    for replica in replicas:
        await replica.book.catch_up()
        await until_seen(replica.book, last)
    counted = [list(replica.book.evidence(ID).closed) for replica in replicas]
    assert counted[0] == counted[1]
    assert sorted(counted[0]) == [unit.key_digest for unit in units]


async def test_what_was_not_started_by_whoever_made_it_is_stopped(replicas: list[Replica]):
    state = await started(replicas[0])
    newest = await replicas[0].book.newest(TENANT, ID)
    orphan = newest.body
    orphan.status = pb.EXPERIMENT_STATUS_STARTING
    orphan.created_at.FromSeconds(orphan.created_at.seconds - int(START_SECONDS) - 5)
    sequence = await replicas[0].book.write(orphan, expected=newest.sequence)
    await until_seen(replicas[1].book, sequence)

    await replicas[1].runner.turn(orphan)

    assert (await replicas[1].record()).status == pb.EXPERIMENT_STATUS_STOPPED
    assert (await replicas[1].alias()).version_id == "mv-old"
    assert state.experiment_id == ID
