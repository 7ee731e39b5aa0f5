"""Group-wise train/valid/test split without leakage.

Rows with equal first user messages form a group, which is never split: the same question with
another answer, or a longer version of a conversation, stays in one split. Groups are ordered by a
seeded digest; test takes the first ones, valid the next, train the rest. So a split depends on seed
and content, not on the order of rows.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from modelmill_service_kit.errors import InvalidInputError
from numpy.typing import NDArray

from modelmill_data_prep.domain.dataset_plan import SplitShares
from modelmill_data_prep.domain.duplicates.disk_arrays import Leaders, chunks, is_leader, new_array
from modelmill_data_prep.domain.duplicates.exact import KeyedOrdinals, run_starts
from modelmill_data_prep.domain.row_decisions import SPLITS, TEST, TRAIN, VALID

SHOWN_GROUPS, SHOWN_ROWS = 20, 10
"""Of groups with several answers, and of each."""
DROPPED = -1
"""Marks a row in no split."""


class TooFewTextsError(InvalidInputError):
    """There are too few different texts to fill the requested splits."""


@dataclass(frozen=True)
class SeveralAnswers:
    """Groups of several rows: the same first user message, answered otherwise."""

    groups: int
    ordinals: list[list[int]]
    """Rows of some of these groups."""


@dataclass(frozen=True)
class Splits:
    """Split of each row."""

    split: NDArray[np.int8]
    """TRAIN, VALID, TEST or DROPPED (a duplicate) by ordinal."""

    rows: dict[str, int]
    """Row count by split name."""

    several_answers: SeveralAnswers
    """Among rows that are no duplicates."""


@dataclass(frozen=True)
class _Groups:
    """Unassigned groups of one partition, sorted by digest."""

    ordinals: NDArray[np.int64]
    """Ordinals of rows, group by group."""

    starts: NDArray[np.int64]
    sizes: NDArray[np.int64]

    def rows_of(self, chosen: NDArray[np.int64]) -> NDArray[np.int64]:
        """Ordinals of the rows in chosen groups."""
        mask = np.zeros(len(self.sizes), bool)
        mask[chosen] = True
        rows: NDArray[np.int64] = self.ordinals[np.repeat(mask, self.sizes)]
        return rows


@dataclass(frozen=True)
class _Totals:
    rows: int
    groups: int
    several_answers: SeveralAnswers


class SplitPlanner(KeyedOrdinals):
    """Assigns rows to splits, with 25 bytes of disk per row.

    Args:
        folder: Created here.
        shares: Shares of rows per split.
        max_test_rows: Limit of the test split; 0 for none.
    """

    def __init__(self, folder: Path, shares: SplitShares, max_test_rows: int = 0) -> None:
        super().__init__(folder)
        self._shares = shares
        self._max_test_rows = max_test_rows

    def plan(self, leaders: Leaders) -> Splits:
        """Assign splits; call once, after all groups were added.

        Args:
            leaders: Only rows that are their own leader get a split.

        Raises:
            TooFewTextsError: There are too few different texts for the requested splits.
        """
        split: NDArray[np.int8] = new_array(self._folder / "splits", np.int8, self.rows)
        for part in chunks(self.rows):
            ordinals = np.arange(part.start, part.stop)
            split[part] = np.where(is_leader(leaders, ordinals), TRAIN, DROPPED)
        totals = self._totals(split)
        wanted = sum(getattr(self._shares, name) > 0 for name in SPLITS)
        if totals.groups < wanted:
            raise TooFewTextsError(
                f"{totals.rows} rows with {totals.groups} different user texts cannot fill "
                f"{wanted} splits"
            )
        limits = {TEST: self._max_test_rows or totals.rows, VALID: totals.rows}
        counts = dict.fromkeys(SPLITS, 0)
        waiting = totals.groups
        for place, limit in limits.items():
            share = getattr(self._shares, SPLITS[place])
            if share > 0:
                wanted -= 1
                goal = max(min(round(share * totals.rows), limit), 1)
                filling = _SplitFiller(split, place, goal, waiting - wanted)
                rows, groups = filling.fill(self._waiting(split), limit)
                counts[SPLITS[place]] = rows
                waiting -= groups
        counts["train"] = totals.rows - sum(counts.values())
        return Splits(split, counts, totals.several_answers)

    def _totals(self, split: NDArray[np.int8]) -> _Totals:
        rows = groups = answered = 0
        shown: list[list[int]] = []
        for some in self._waiting(split):
            rows += len(some.ordinals)
            groups += len(some.sizes)
            several = np.flatnonzero(some.sizes > 1)
            answered += len(several)
            for group in several[: SHOWN_GROUPS - len(shown)]:
                start, size = some.starts[group], min(some.sizes[group], SHOWN_ROWS)
                shown.append(sorted(some.ordinals[start : start + size].tolist()))
        return _Totals(rows, groups, SeveralAnswers(answered, shown))

    def _waiting(self, split: NDArray[np.int8]) -> Iterator[_Groups]:
        """Unassigned groups, partition by partition."""
        for records in self.records.partitions():
            records = records[split[records["ordinal"]] == TRAIN]
            if len(records):
                yield _grouped(records)


class _SplitFiller:
    """Fills one split greedily with the first groups that fit.

    Args:
        split: Split by ordinal; modified in place.
        place: The split to fill.
        goal: Target number of rows.
        may_take: Maximum number of groups, which leaves at least one for every other split.
    """

    def __init__(self, split: NDArray[np.int8], place: int, goal: int, may_take: int) -> None:
        self._split = split
        self._place = place
        self._goal = goal
        self._room = goal
        self._may_take = may_take
        self._taken = 0

    def fill(self, waiting: Iterator[_Groups], limit: int) -> tuple[int, int]:
        """Assign the first groups that fit, or else the smallest; returns row and group counts.

        Raises:
            TooFewTextsError: The smallest group has more rows than `limit`.
        """
        smallest: NDArray[np.int64] | None = None
        for groups in waiting:
            chosen = self._choose(groups.sizes)
            if len(chosen):
                self._split[groups.rows_of(chosen)] = self._place
            if self._room == 0 or (self._taken and self._may_take == 0):
                break
            if self._taken == 0:
                first = int(np.argmin(groups.sizes))
                if smallest is None or groups.sizes[first] < len(smallest):
                    smallest = groups.rows_of(np.array([first]))
        if self._taken == 0:
            if smallest is None or len(smallest) > limit:
                raise TooFewTextsError(
                    f"no user text has few enough rows for a {SPLITS[self._place]} split of {limit}"
                )
            self._split[smallest] = self._place
            return len(smallest), 1
        return self._goal - self._room, self._taken

    def _choose(self, sizes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Indices of groups that fit into the remaining room, greedily."""
        chosen: list[NDArray[np.int64]] = []
        left = np.arange(len(sizes))
        while self._room and self._may_take:
            # Room only shrinks, so groups that do not fit now never will.
            left = left[sizes[left] <= self._room]
            if not len(left):
                break
            filled = np.cumsum(sizes[left])
            count = min(int(np.searchsorted(filled, self._room, side="right")), self._may_take)
            chosen.append(left[:count])
            self._room -= int(filled[count - 1])
            self._may_take -= count
            self._taken += count
            left = left[count:]
        return np.concatenate(chosen) if chosen else np.empty(0, np.int64)


def _grouped(records: NDArray[Any]) -> _Groups:
    records = records[np.lexsort((records["ordinal"], records["low"], records["high"]))]
    starts = run_starts(records)
    return _Groups(records["ordinal"], starts, np.diff(np.append(starts, len(records))))
