"""Records by key: whose they are, who changes them first, and when nothing is read."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from modelmill.gateway.v1.gateway_events_pb2 import (
    ChangeRecorded,
    EvalState,
    ExperimentState,
    ExperimentUnits,
)
from modelmill_bus.bus import Bus, StaleWriteError
from modelmill_bus.envelope import Stored
from modelmill_bus.keyed_store import KeyedStore, RecentLog
from modelmill_bus.read_model import ReadModel, until_seen
from modelmill_bus.subjects import change_recorded, experiment_units
from modelmill_service_kit.errors import NotFoundError

Store = KeyedStore[EvalState]


def store_on(bus: Bus) -> Store:
    return KeyedStore(bus, "eval.state", key="eval_id", noun="eval", listed_at="/v1/evals")


@contextmanager
def running(model: ReadModel) -> Iterator[None]:
    task = asyncio.create_task(model.run())
    try:
        yield
    finally:
        task.cancel()


async def test_a_record_is_its_tenants_alone_until_it_is_deleted(bus: Bus) -> None:
    store = store_on(bus)
    with running(store):
        state = EvalState(eval_id="ev-1", tenant="acme", name="first")
        sequence = await store.write(state, expected=0)
        await until_seen(store, sequence)

        assert store.get("acme", "ev-1").name == "first"
        assert (await store.newest("acme", "ev-1")).sequence == sequence
        with pytest.raises(NotFoundError):
            store.get("other", "ev-1")
        with pytest.raises(NotFoundError):
            await store.newest("other", "ev-1")

        state.deleted = True
        await until_seen(store, await store.write(state, expected=sequence))
        assert store.list("acme") == []
        with pytest.raises(NotFoundError):
            await store.newest("acme", "ev-1")


async def test_of_two_changes_of_one_record_the_first_wins(bus: Bus) -> None:
    store = store_on(bus)
    sequence = await store.write(EvalState(eval_id="ev-1", tenant="acme"), expected=0)
    await store.write(EvalState(eval_id="ev-1", tenant="acme", name="a"), expected=sequence)

    with pytest.raises(StaleWriteError):
        await store.write(EvalState(eval_id="ev-1", tenant="acme", name="b"), expected=sequence)
    assert (await store.newest("acme", "ev-1")).body.name == "a"


@pytest.mark.parametrize("key", ["", "*", ">", "ev.1", "EV-1"])
async def test_what_cannot_be_a_key_is_not_there(bus: Bus, key: str) -> None:
    with pytest.raises(NotFoundError):
        await store_on(bus).newest("acme", key)


async def test_a_log_on_demand_is_read_once_somebody_catches_up(bus: Bus) -> None:
    log: RecentLog[ChangeRecorded] = RecentLog(bus, "change.recorded", kept=2, on_demand=True)
    for number in range(3):
        change = ChangeRecorded(tenant="acme", request_id=f"req-{number}")
        await bus.publish(change_recorded("acme"), change)
    with running(log):
        await log.catch_up()
        assert [each.body.request_id for each in log.list("acme")] == ["req-2", "req-1"]
        assert log.list("other") == []


class Experiments(KeyedStore[ExperimentState]):
    """Records, and beside them units in the order of the stream."""

    def __init__(self, bus: Bus) -> None:
        super().__init__(
            bus,
            "experiment.state",
            key="experiment_id",
            noun="experiment",
            listed_at="/v1/experiments",
            beside=("experiment.units.*",),
        )
        self.seen: list[str] = []

    def _apply(self, stored: Stored[Any]) -> None:
        self.seen.append(stored.body.DESCRIPTOR.name)
        if isinstance(stored.body, ExperimentState):
            super()._apply(stored)


async def test_what_lies_beside_records_is_read_in_the_order_in_which_it_was_written(bus: Bus):
    store = Experiments(bus)
    with running(store):
        state = ExperimentState(experiment_id="exp-1", tenant="acme")
        first = await store.write(state, expected=0)
        units = ExperimentUnits(experiment_id="exp-1", tenant="acme")
        await bus.publish(experiment_units("exp-1"), units)
        await until_seen(store, await store.write(state, expected=first))

    assert store.seen == ["ExperimentState", "ExperimentUnits", "ExperimentState"]
    assert [each.experiment_id for each in store.list("acme")] == ["exp-1"]


class Changes(ReadModel):
    """What a reader behind a sequence sees."""

    def __init__(self, bus: Bus, after: int) -> None:
        super().__init__(bus, ("change.recorded.*",), after=after)
        self.seen: list[str] = []

    def _apply(self, stored: Stored[Any]) -> None:
        self.seen.append(stored.body.request_id)


async def test_who_reads_behind_a_sequence_sees_only_what_came_later(bus: Bus):
    for number in range(3):
        change = ChangeRecorded(tenant="acme", request_id=f"req-{number}")
        await bus.publish(change_recorded("acme"), change)
        if number == 0:
            after = await bus.newest_sequence(change_recorded("acme"))
    changes = Changes(bus, after)
    with running(changes):
        await changes.catch_up()

    assert changes.seen == ["req-1", "req-2"]
