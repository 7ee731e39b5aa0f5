"""Aliases over a real broker: one winner per move, own before shared, removal."""

import asyncio
from datetime import UTC, datetime
from typing import Protocol

import pytest
from modelmill_bus.bus import Bus, StaleWriteError
from modelmill_bus.read_model import ReadModel
from modelmill_registry.aliases import AliasBook
from modelmill_service_kit.errors import InvalidInputError

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


class Following(Protocol):
    async def __call__(self, *models: ReadModel) -> None: ...


async def test_of_twenty_movers_with_the_same_expectation_one_wins(
    bus: Bus, following: Following
) -> None:
    book = AliasBook(bus)
    await following(book)
    first = await book.move("acme", "prod", "mv-0", moved_by="ann", expected=0)
    moves = [
        book.move("acme", "prod", f"mv-{n}", moved_by=f"mover-{n}", expected=first)
        for n in range(1, 21)
    ]
    outcomes = await asyncio.gather(*moves, return_exceptions=True)

    won = [n for n, outcome in enumerate(outcomes, start=1) if isinstance(outcome, int)]
    lost = [outcome for outcome in outcomes if isinstance(outcome, StaleWriteError)]
    assert (len(won), len(lost)) == (1, 19)
    sequence = outcomes[won[0] - 1]
    assert isinstance(sequence, int)
    await book.wait_for(sequence, timeout=10)
    alias = book.get("acme", "prod")
    assert alias is not None
    assert (alias.version_id, alias.moved_by) == (f"mv-{won[0]}", f"mover-{won[0]}")
    assert book.sequence("acme", "prod") == sequence


async def test_a_move_without_an_expectation_follows_the_newest_and_survives_a_restart(
    bus: Bus, following: Following
) -> None:
    book = AliasBook(bus, now=lambda: NOON)
    await book.move("acme", "prod", "mv-1", moved_by="ann")
    await book.move("acme", "prod", "mv-2", moved_by="bob")
    await following(book)

    alias = book.get("acme", "prod")
    assert alias is not None
    assert (alias.tenant, alias.name, alias.version_id) == ("acme", "prod", "mv-2")
    assert alias.moved_at.ToDatetime(tzinfo=UTC) == NOON


async def test_an_own_alias_hides_the_shared_one_until_it_is_removed(
    bus: Bus, following: Following
) -> None:
    book = AliasBook(bus)
    await following(book)
    await book.move("shared", "base", "mv-shared", moved_by="admin")
    await book.move("rival", "secret", "mv-secret", moved_by="eve")
    moved = await book.move("acme", "base", "mv-own", moved_by="ann")
    await book.wait_for(moved, timeout=10)
    assert [alias.version_id for alias in book.list("acme")] == ["mv-own"]
    assert book.get("acme", "secret") is None

    removed = await book.move("acme", "base", "", moved_by="ann", expected=moved)
    await book.wait_for(removed, timeout=10)
    alias = book.get("acme", "base")
    assert alias is not None
    assert alias.version_id == "mv-shared"
    assert book.sequence("acme", "base") == removed
    assert book.sequence("acme", "never") == 0


async def test_two_moves_of_different_aliases_do_not_disturb_each_other(bus: Bus) -> None:
    book = AliasBook(bus)
    await asyncio.gather(
        book.move("acme", "one", "mv-1", moved_by="ann", expected=0),
        book.move("acme", "two", "mv-2", moved_by="ann", expected=0),
        book.move("rival", "one", "mv-3", moved_by="eve", expected=0),
    )


@pytest.mark.parametrize(
    ("tenant", "name", "version_id"),
    [("a.b", "prod", "mv-1"), ("acme", "*", "mv-1"), ("acme", "prod", "mv 1"), ("", "p", "mv-1")],
)
async def test_malformed_names_never_reach_the_bus(
    bus: Bus, tenant: str, name: str, version_id: str
) -> None:
    with pytest.raises(InvalidInputError):
        await AliasBook(bus).move(tenant, name, version_id, moved_by="ann")
    assert await bus.last_sequence("CONFIG") == 0
