"""Which rows share a sequence, and what a caller may ask for."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmill_data_prep.domain.tokens.packing import WINDOW_ROWS, plan_packs
from modelmill_data_prep.domain.tokens.token_plan import TokenizePlan, plan_tokenize
from modelmill_service_kit.errors import InvalidInputError

LENGTHS = st.lists(st.integers(1, 40), max_size=60)


@given(LENGTHS, st.integers(1, 32))
def test_every_row_is_in_one_pack_and_no_pack_has_more_than_its_bound(
    lengths: list[int], room: int
) -> None:
    packs = list(plan_packs(lengths, room))

    assert sorted(row for pack in packs for row in pack) == list(range(len(lengths)))
    assert all(len(pack) == 1 or sum(lengths[row] for row in pack) <= room for pack in packs)
    # No two packs could be one, so more than half of the positions are used.
    sums = sorted(sum(lengths[row] for row in pack) for pack in packs)
    assert len(sums) < 2 or sums[0] + sums[1] > room


def test_the_fullest_pack_that_has_room_is_taken() -> None:
    assert list(plan_packs([6, 5, 4, 3, 2], 10)) == [[0, 2], [1, 3, 4]]


@given(st.permutations(range(12)))
def test_packs_are_in_the_order_of_training(order: Sequence[int]) -> None:
    packs = list(plan_packs([3] * 12, 7, order))

    assert [row for pack in packs for row in pack] == list(order)


def test_with_an_order_rows_far_apart_share_no_pack() -> None:
    count = 3 * WINDOW_ROWS
    packs = plan_packs([60, 40] * (count // 2), 100, range(count))

    assert all(pack[0] // WINDOW_ROWS == pack[-1] // WINDOW_ROWS for pack in packs)


def test_token_ids_have_defaults() -> None:
    assert plan_tokenize({}) == TokenizePlan("", 0, 2048)
    assert plan_tokenize({"model": "m", "max_tokens": 9}) == TokenizePlan("m", 9, 2048)


@pytest.mark.parametrize(
    ("spec", "errors"),
    [
        (
            {"max_tokens": 5, "pack_tokens": 9},
            ["max_tokens means nothing without", "pack_tokens means nothing without"],
        ),
        ({"model": "m", "max_tokens": 9, "pack_tokens": 5}, ["must not be below max_tokens"]),
        ({"model": "m\n", "max_tokens": 1}, ["printable", "at least 2"]),
        ({"model": "m", "pack_tokens": 1 << 21}, ["at most 1048576"]),
    ],
)
def test_everything_that_is_wrong_with_token_ids_is_said_at_once(
    spec: dict[str, Any], errors: list[str]
) -> None:
    with pytest.raises(InvalidInputError) as refused:
        plan_tokenize(spec)

    assert len(refused.value.errors) == len(errors)
    for error, words in zip(refused.value.errors, errors, strict=True):
        assert error.startswith("tokenize: ")
        assert words in error
