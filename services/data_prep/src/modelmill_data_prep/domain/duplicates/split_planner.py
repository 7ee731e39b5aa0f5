"""Train, valid and test, so that no text is in two of them and the shares are kept.

Rows whose first user turns compare as equal are one group, and a group is never cut: the same
question with another answer, or a longer run of the same conversation, stays on its side. Groups
are ordered by a digest of the seed and the text; test takes the first ones, valid the next, train
the rest. So a split depends on the seed and on what the rows say, not on their order in the file.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from modelmill_service_kit.errors import InvalidInputError
from numpy.typing import NDArray

from modelmill_data_prep.domain.dataset_plan import SplitShares
from modelmill_data_prep.domain.duplicates.exact import KeyedOrdinals, run_starts
from modelmill_data_prep.domain.duplicates.ordinals import Leaders, chunks, new_array, stays
from modelmill_data_prep.domain.verdicts import SPLITS, TEST, TRAIN, VALID

DROPPED = -1
"""In no split."""


class TooFewTextsError(InvalidInputError):
    """The rows do not suffice for the splits asked for, because a text is never in two of them."""


@dataclass(frozen=True)
class Splits:
    """Where each row goes."""

    split: NDArray[np.int8]
    """By ordinal: TRAIN, VALID, TEST, or DROPPED for a row that another one stands for."""

    rows: dict[str, int]
    """Rows of each split, by its name."""


@dataclass(frozen=True)
class _Groups:
    """Groups of one division that are still to be had, in the order of their digests."""

    ordinals: NDArray[np.int64]
    """Of the rows of all groups, group by group."""

    starts: NDArray[np.int64]
    sizes: NDArray[np.int64]

    def rows_of(self, chosen: NDArray[np.int64]) -> NDArray[np.int64]:
        """Ordinals of the rows of the chosen groups."""
        mask = np.zeros(len(self.sizes), bool)
        mask[chosen] = True
        rows: NDArray[np.int64] = self.ordinals[np.repeat(mask, self.sizes)]
        return rows


@dataclass(frozen=True)
class _Totals:
    rows: int
    groups: int


class SplitPlanner(KeyedOrdinals):
    """Decides the split of each row; takes 24 bytes of disk a row, and one for what is decided.

    Args:
        folder: A new folder, which is made.
        shares: Of the rows.
        max_test_rows: 0 means no limit.
    """

    def __init__(self, folder: Path, shares: SplitShares, max_test_rows: int = 0) -> None:
        super().__init__(folder)
        self._shares = shares
        self._max_test_rows = max_test_rows

    def plan(self, leaders: Leaders) -> Splits:
        """The split of each row; call it once, when the groups of all rows were added.

        Args:
            leaders: Only a row that is its own leader counts and gets a split.

        Raises:
            TooFewTextsError: There are too few different texts to fill the splits asked for.
        """
        split: NDArray[np.int8] = new_array(self._folder / "splits", np.int8, self.rows)
        for part in chunks(self.rows):
            ordinals = np.arange(part.start, part.stop)
            split[part] = np.where(stays(leaders, ordinals), TRAIN, DROPPED)
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
                filling = _Filling(split, place, goal, waiting - wanted)
                rows, groups = filling.fill(self._waiting(split), limit)
                counts[SPLITS[place]] = rows
                waiting -= groups
        counts["train"] = totals.rows - sum(counts.values())
        return Splits(split, counts)

    def _totals(self, split: NDArray[np.int8]) -> _Totals:
        rows = groups = 0
        for some in self._waiting(split):
            rows += len(some.ordinals)
            groups += len(some.sizes)
        return _Totals(rows, groups)

    def _waiting(self, split: NDArray[np.int8]) -> Iterator[_Groups]:
        """The groups that no split has taken, division by division."""
        for records in self.records.partitions():
            records = records[split[records["ordinal"]] == TRAIN]
            if len(records):
                yield _grouped(records)


class _Filling:
    """Fills one split with the first groups that fit.

    Args:
        split: By ordinal, where what is taken is written.
        place: The split that is filled.
        goal: Rows wanted.
        may_take: Groups that may be taken, so that the other splits get one too.
    """

    def __init__(self, split: NDArray[np.int8], place: int, goal: int, may_take: int) -> None:
        self._split = split
        self._place = place
        self._goal = goal
        self._room = goal
        self._may_take = may_take
        self._taken = 0

    def fill(self, waiting: Iterator[_Groups], limit: int) -> tuple[int, int]:
        """Take the first groups that fit, or the smallest one; how many rows and groups it took.

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
        """Places of the groups that fit, each in what room those before it leave."""
        chosen: list[NDArray[np.int64]] = []
        left = np.arange(len(sizes))
        while self._room and self._may_take:
            # What does not fit now never will.
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
