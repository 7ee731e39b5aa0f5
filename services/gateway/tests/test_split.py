"""Shares of an alias: they hold, they stick, and a changed weight moves no more than it must."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modelmill_gateway.domain.chat import ChatCall, Sampling, Turn
from modelmill_gateway.domain.models import Shadow, Split, Variant, split_of, sticky_key

PLACES = 20_000
Z = 4.5
"""Standard deviations that a share of so many draws may be off."""

weights = st.lists(st.floats(0.05, 20.0), min_size=2, max_size=6)


def split(weights: list[float]) -> Split:
    return Split(
        tuple(Variant(f"v{place}", f"mv-{place}", weight) for place, weight in enumerate(weights))
    )


def picks(split: Split, places: int = PLACES, seed: int = 0) -> list[str]:
    drawn = random.Random(seed)
    return [split.pick("t", "a", str(drawn.random())).name for _ in range(places)]


@pytest.mark.tier("test")
@settings(max_examples=25, deadline=None)
@given(weights, st.integers(0, 2**32))
def test_each_variant_has_its_share(weights: list[float], seed: int):
    picked = picks(split(weights), seed=seed)
    statistic, total = 0.0, sum(weights)
    for place, weight in enumerate(weights):
        expected = PLACES * weight / total
        statistic += (picked.count(f"v{place}") - expected) ** 2 / expected

    freedom = len(weights) - 1
    # Wilson and Hilferty's bound of chi square.
    bound = freedom * (1 - 2 / (9 * freedom) + Z * (2 / (9 * freedom)) ** 0.5) ** 3
    assert statistic < bound


@settings(max_examples=25, deadline=None)
@given(weights, st.data())
@pytest.mark.tier("test")
def test_a_changed_weight_moves_only_what_it_wins_or_loses(
    weights: list[float], data: st.DataObject
):
    changed = data.draw(st.integers(0, len(weights) - 1))
    grown = list(weights)
    grown[changed] *= data.draw(st.floats(1.01, 5.0))
    before, after = picks(split(weights), 5000), picks(split(grown), 5000)

    moved = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert {new for _, new in moved} <= {f"v{changed}"}


def test_a_variant_keeps_its_places_when_its_version_changes_and_others_come():
    before = picks(split([1.0, 1.0]), 2000)
    updated = Split((Variant("v0", "mv-new", 1.0), Variant("v1", "mv-1", 1.0)))
    assert picks(updated, 2000) == before

    with_third = picks(split([1.0, 1.0, 1.0]), 2000)
    assert {new for old, new in zip(before, with_third, strict=True) if old != new} == {"v2"}


def test_a_weight_of_nothing_gets_nothing():
    assert set(picks(split([0.0, 1.0]), 2000)) == {"v1"}


def test_aliases_do_not_share_out_the_same_users_alike():
    halves = split([1.0, 1.0])
    names = [str(number) for number in range(2000)]
    same = sum(halves.pick("t", "a", it).name == halves.pick("t", "b", it).name for it in names)
    assert 800 < same < 1200


def test_what_is_kept_is_read_again():
    whole = Split(split([1.5, 2.0]).variants, Shadow("mv-s", 0.25), ("mv-f", "mv-g"))
    assert split_of(whole.options()) == whole
    assert split_of(split([1.0]).options()) == split([1.0])
    assert whole.version_ids == ("mv-0", "mv-1", "mv-s", "mv-f", "mv-g")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"kind": "cascade", "small": "mv"},
        {"kind": "split"},
        {"kind": "split", "variants": []},
        {"kind": "split", "variants": [{"name": "a"}]},
        {"kind": "split", "variants": 7},
    ],
)
def test_what_is_no_split_is_none(options: dict[str, object]):
    assert split_of(options) is None


def call(*turns: tuple[str, str], user: str = "") -> ChatCall:
    return ChatCall("m", tuple(Turn(*turn) for turn in turns), Sampling(), user=user)


def test_a_conversation_keeps_its_key_as_it_grows():
    begun = call(("system", "be brief"), ("user", "hello"))
    grown = call(("system", "be brief"), ("user", "hello"), ("assistant", "hi"), ("user", "and?"))
    other = call(("system", "be brief"), ("user", "good day"))

    assert sticky_key(begun) == sticky_key(grown) != sticky_key(other)
    assert sticky_key(call(("user", "a"), user="ada")) == sticky_key(
        call(("user", "b"), user="ada")
    )
    assert sticky_key(call(("user", "a"), user="ada"), "mine") == "mine"
