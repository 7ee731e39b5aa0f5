"""No text in two splits, shares kept, and the same plan as one made in memory."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from modelmill_data_prep.domain.dataset_plan import SplitShares
from modelmill_data_prep.domain.duplicates.split_planner import (
    DROPPED,
    SplitPlanner,
    TooFewTextsError,
)
from modelmill_data_prep.domain.row_decisions import SPLITS

Assigned = dict[int, str]

SHARES = SplitShares()


def digest(group: int) -> tuple[int, int]:
    """A key that spreads over the divisions; neighbours share their upper half."""
    return (group // 2 * 0x9E3779B97F4A7C15) % 2**64, group


def plan(
    groups: Sequence[int],
    shares: SplitShares = SHARES,
    max_test_rows: int = 0,
    *,
    leaders: Sequence[int] | None = None,
    batch: int = 7,
) -> list[str | None]:
    """Name of the split of each row, given by its group."""
    with TemporaryDirectory() as folder:
        planner = SplitPlanner(Path(folder) / "splits", shares, max_test_rows)
        keys = np.array([digest(group) for group in groups], np.uint64).reshape(-1, 2)
        for start in range(0, len(groups), batch):
            planner.add(keys[start : start + batch], start)
        own = np.arange(len(groups)) if leaders is None else np.array(leaders)
        made = planner.plan(own)
        names = [None if one == DROPPED else SPLITS[one] for one in made.split.tolist()]
        assert made.rows == {split: names.count(split) for split in SPLITS}
        return names


def in_memory(rows_of_group: Counter[int], shares: SplitShares, max_test_rows: int) -> Assigned:
    """The same rules over a sorted list of all groups."""
    rows = rows_of_group.total()
    left = sorted(rows_of_group, key=digest)
    to_fill = sum(getattr(shares, split) > 0 for split in SPLITS)
    if len(left) < to_fill:
        raise TooFewTextsError("too few")
    assigned: Assigned = {}
    limit_of = {"test": max_test_rows or rows, "valid": rows}
    for split, limit in limit_of.items():
        share = getattr(shares, split)
        if not share:
            continue
        to_fill -= 1
        goal = room = max(min(round(share * rows), limit), 1)
        may_take = len(left) - to_fill
        for group in list(left):
            if rows_of_group[group] <= room and may_take:
                assigned[group], room, may_take = split, room - rows_of_group[group], may_take - 1
                left.remove(group)
        if room == goal:
            smallest = min(left, key=lambda group: rows_of_group[group])
            if rows_of_group[smallest] > limit:
                raise TooFewTextsError("too large")
            assigned[smallest] = split
            left.remove(smallest)
    return assigned


shares_of_splits = st.sampled_from(
    [
        SHARES,
        SplitShares(1.0, 0.0, 0.0),
        SplitShares(0.9, 0.0, 0.1),
        SplitShares(0.5, 0.5, 0.0),
        SplitShares(0.02, 0.03, 0.95),
        SplitShares(0.4, 0.3, 0.3),
    ]
)


@given(
    st.lists(st.integers(0, 12) | st.integers(0, 1000), max_size=80),
    shares_of_splits,
    st.integers(0, 6),
    st.integers(1, 80),
)
def test_the_plan_is_the_one_made_in_memory(
    groups: list[int], shares: SplitShares, max_test_rows: int, batch: int
) -> None:
    try:
        assigned = in_memory(Counter(groups), shares, max_test_rows)
    except TooFewTextsError:
        with pytest.raises(TooFewTextsError):
            plan(groups, shares, max_test_rows, batch=batch)
        return

    expected = [assigned.get(group, "train") for group in groups]
    assert plan(groups, shares, max_test_rows, batch=batch) == expected


@given(st.lists(st.integers(0, 30), min_size=3, max_size=60), st.data())
def test_rows_that_another_stands_for_are_in_no_split_and_count_for_none(
    groups: list[int], data: st.DataObject
) -> None:
    dropped = data.draw(st.sets(st.integers(1, len(groups) - 1)))
    kept = [group for place, group in enumerate(groups) if place not in dropped]
    assume(len(set(kept)) >= 3)

    leaders = [0 if place in dropped else place for place in range(len(groups))]
    names = plan(groups, leaders=leaders)

    assert {place for place, name in enumerate(names) if name is None} == dropped
    assert [name for name in names if name] == plan(kept)


def test_the_demo_gets_exactly_two_hundred_test_rows() -> None:
    names = plan(range(1260), SplitShares(0.79, 0.05, 0.16), 200)

    assert Counter(names) == {"train": 997, "valid": 63, "test": 200}


def test_one_text_with_many_answers_stays_in_one_split() -> None:
    groups = [row % 20 for row in range(100)]

    names = plan(groups, SplitShares(0.6, 0.2, 0.2))

    assert Counter(names) == {"train": 60, "valid": 20, "test": 20}
    assert len(set(zip(groups, names, strict=True))) == 20


def test_each_split_asked_for_gets_a_row_and_too_few_texts_are_refused() -> None:
    assert sorted(map(str, plan(range(3)))) == ["test", "train", "valid"]
    assert set(plan(range(10), SplitShares(0.02, 0.03, 0.95))) == set(SPLITS)
    assert plan([0], SplitShares(1.0, 0.0, 0.0)) == ["train"]
    with pytest.raises(TooFewTextsError, match="2 different user texts cannot fill 3 splits"):
        plan([0, 1, 1])
    with pytest.raises(TooFewTextsError, match="0 rows with 0 different"):
        plan([])


def test_a_limit_on_test_rows_that_no_text_meets_is_refused() -> None:
    with pytest.raises(TooFewTextsError, match="few enough rows for a test split of 5"):
        plan([row % 4 for row in range(40)], max_test_rows=5)


@given(
    st.integers(3, 200),
    st.tuples(st.integers(1, 98), st.integers(1, 98)).filter(lambda pair: sum(pair) < 100),
)
def test_shares_of_different_texts_are_exact_within_one_row(
    count: int, percent: tuple[int, int]
) -> None:
    valid, test = percent[0] / 100, percent[1] / 100
    shares = SplitShares(1 - valid - test, valid, test)

    rows = Counter(plan(range(count), shares))

    if all(getattr(shares, split) * count >= 1 for split in SPLITS):
        # A share may be one row and a rounding away: 1 - 0.02 - 0.42 is a little more than 0.56.
        off = [abs(rows[split] - getattr(shares, split) * count) for split in SPLITS]
        assert max(off) <= 1 + 1e-9
    assert all(rows[split] for split in SPLITS)


@given(st.permutations(range(30)))
def test_the_split_of_a_text_does_not_depend_on_where_it_stands(groups: list[int]) -> None:
    in_order = dict(zip(range(30), plan(range(30)), strict=True))

    assert dict(zip(groups, plan(groups), strict=True)) == in_order
