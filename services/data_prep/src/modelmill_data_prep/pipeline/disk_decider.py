"""Decides about all rows with arrays on disk, so that memory does not grow with them."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from modelmill_data_prep.domain.dataset_plan import DatasetPlan
from modelmill_data_prep.domain.duplicates.clusters import Cluster, summarise_clusters
from modelmill_data_prep.domain.duplicates.contamination import (
    MATCH,
    OWN_TEST,
    EvaluationRows,
    contaminated_rows,
)
from modelmill_data_prep.domain.duplicates.exact import ExactDuplicates
from modelmill_data_prep.domain.duplicates.known_groups import KnownGroups
from modelmill_data_prep.domain.duplicates.near import near_leaders
from modelmill_data_prep.domain.duplicates.near_store import NearStore
from modelmill_data_prep.domain.duplicates.ordinals import Leaders, chunks, let_go, own_ordinals
from modelmill_data_prep.domain.duplicates.split_planner import DROPPED, SplitPlanner, Splits
from modelmill_data_prep.domain.verdicts import (
    CONTAMINATED,
    EXACT_DUPLICATE,
    KEPT,
    NEAR_DUPLICATE,
    TEST_LEAK,
    Verdicts,
    given_away,
)
from modelmill_data_prep.pipeline.row_worker import BlockKeys


class DiskDecider:
    """Hears of all rows of one dataset, then decides about them.

    Takes some 70 bytes of disk a row, and about 600 more where near duplicates are looked for.

    Args:
        plan: The dataset's.
        folder: An empty folder for what is on disk; may be removed when the decisions were used.
    """

    def __init__(self, plan: DatasetPlan, folder: Path) -> None:
        self._plan = plan.duplicates
        self._folder = folder
        self._rows = 0
        self._lines = folder / "lines"
        self._lines.touch()
        self._exact = ExactDuplicates(folder / "exact")
        self._splits = SplitPlanner(folder / "groups", plan.shares, plan.max_test_rows)
        thresholds = plan.duplicates.thresholds
        self._near = NearStore(folder / "near", thresholds) if thresholds else None
        self._evaluation = EvaluationRows(
            folder / "evaluation", plan.duplicates.contamination_threshold
        )

    def add(self, lines: NDArray[np.int64], keys: BlockKeys) -> None:
        """The next rows; `lines` are those of the source file."""
        with self._lines.open("ab") as file:
            lines.astype(np.int64).tofile(file)
        self._exact.add(keys.rows.exact, self._rows)
        self._splits.add(keys.rows.group, self._rows)
        if self._near is not None and keys.signatures is not None:
            self._near.add(keys.signatures, self._rows)
        self._rows += len(lines)

    def add_evaluation(self, file: int, lines: NDArray[np.int64], keys: BlockKeys) -> None:
        """The next rows of evaluation file number `file`, which nothing may be trained on."""
        self._evaluation.add(file, lines, keys.rows.group, keys.signatures)

    def known_groups(self) -> KnownGroups:
        """The groups of all rows and evaluation rows, for rows made later. Call it once."""
        return KnownGroups([self._splits, self._evaluation.groups], self._folder / "known-groups")

    def decide(self) -> "DiskDecisions":
        """What stays, and where. Call it once.

        Raises:
            TooFewTextsError: The rows cannot fill the splits.
        """
        exact, leaders = self._leaders()
        splits = self._splits.plan(leaders)
        matches = None
        if self._plan.evaluation_file_ids or self._plan.contamination_threshold:
            matches = contaminated_rows(
                *(self._evaluation, self._splits, self._near, splits.split),
                self._folder / "matches",
            )
        lines: NDArray[np.int64] = np.zeros(0, np.int64)
        if self._rows:
            lines = np.memmap(self._lines, np.int64, mode="r")
        return DiskDecisions(lines, exact, leaders, splits, matches)

    def _leaders(self) -> tuple[Leaders, Leaders]:
        """Of each row the first that says the same, and the first that nearly does."""
        if self._plan.keep_exact:
            own = own_ordinals(self._folder / "own", self._rows)
            return own, own
        exact = self._exact.leaders()
        if self._near is None or not self._plan.near_threshold:
            return exact, exact
        path = self._folder / "near-leaders"
        return exact, near_leaders(self._near, self._plan.near_threshold, exact, path)


@dataclass(frozen=True)
class DiskDecisions:
    """See `prepare_dataset.Decisions`."""

    lines: NDArray[np.int64]
    exact: Leaders
    leaders: Leaders
    splits: Splits
    matches: NDArray[np.void] | None
    """Of `MATCH`, where contamination was looked for."""

    def verdicts(self, start: int, stop: int) -> Verdicts:
        """About the rows from ordinal `start` to before `stop`."""
        part = slice(start, stop)
        ordinals, leaders = np.arange(start, stop), self.leaders[part]
        gone = leaders != ordinals
        equal = gone & (self.exact[part] == leaders)
        verdict = np.where(gone, np.where(equal, EXACT_DUPLICATE, NEAR_DUPLICATE), KEPT)
        verdict = verdict.astype(np.int8)
        other = np.where(gone, self.lines[leaders], 0)
        file = np.zeros(len(verdict), np.int32)
        if self.matches is not None:
            self._add_matches(self.matches[part], verdict, other, file)
        split = np.where(verdict == KEPT, self.splits.split[part], DROPPED)
        # Else all rows that were decided about so far would stay with this process.
        let_go(self.lines, self.exact, self.leaders, self.splits.split)
        return Verdicts(verdict, other, file, split.astype(np.int8))

    def clusters(self) -> list[Cluster]:
        """Some of the rows that say the same."""
        return summarise_clusters(self.leaders, self.lines).clusters

    def contaminated(self) -> dict[str, int]:
        """Rows that give something away, by what, as `given_away` says it; files in their order,
        the test split at last."""
        counts: Counter[int] = Counter()
        if self.matches is not None:
            for part in chunks(len(self.matches)):
                files, rows = np.unique(self.matches["file"][part], return_counts=True)
                counts.update(dict(zip(files.tolist(), rows.tolist(), strict=True)))
        known = sorted(file for file in counts if file >= 0)
        named = {given_away(file): counts[file] for file in known}
        return named | ({given_away(None): counts[OWN_TEST]} if counts[OWN_TEST] else {})

    def _add_matches(
        self,
        matches: NDArray[np.void],
        verdict: NDArray[np.int8],
        other: NDArray[np.int64],
        file: NDArray[np.int32],
    ) -> None:
        assert matches.dtype == MATCH
        files, rows = matches["file"], matches["row"]
        outside = files >= 0
        verdict[outside], other[outside], file[outside] = (
            CONTAMINATED,
            rows[outside],
            files[outside],
        )
        leaks = files == OWN_TEST
        verdict[leaks], other[leaks] = TEST_LEAK, self.lines[rows[leaks]]
