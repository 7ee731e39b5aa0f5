"""Dataset-wide decisions with arrays on disk, in constant memory."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelmill_data_prep.domain.dataset_plan import DatasetPlan
from modelmill_data_prep.domain.duplicates.contamination import (
    MATCH,
    OWN_TEST,
    EvaluationRows,
    contaminated_rows,
)
from modelmill_data_prep.domain.duplicates.disk_arrays import (
    Leaders,
    chunks,
    identity_leaders,
    release_pages,
)
from modelmill_data_prep.domain.duplicates.exact import ExactDuplicates, KnownGroups
from modelmill_data_prep.domain.duplicates.near import Cluster, near_leaders, summarise_clusters
from modelmill_data_prep.domain.duplicates.signature_store import SignatureStore
from modelmill_data_prep.domain.duplicates.split_planner import DROPPED, SplitPlanner, Splits
from modelmill_data_prep.domain.row_decisions import (
    CONTAMINATED,
    EXACT_DUPLICATE,
    KEPT,
    NEAR_DUPLICATE,
    TEST_LEAK,
    RowDecisions,
    leaked_set,
)
from modelmill_data_prep.pipeline.row_worker import BlockKeys


class DiskDecider:
    """Collects keys of all rows, then decides on duplicates, contamination and splits.

    Needs about 70 bytes of disk per row, and 600 more for near duplicates.


    Args:
        plan: The dataset's plan.
        folder: Empty folder for temporary files, needed as long as the decisions are used.
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
        self._near = SignatureStore(folder / "near", thresholds) if thresholds else None
        self._evaluation = EvaluationRows(
            folder / "evaluation", plan.duplicates.contamination_threshold
        )

    def add(self, lines: NDArray[np.int64], keys: BlockKeys) -> None:
        """Add rows with their source lines."""
        with self._lines.open("ab") as file:
            lines.astype(np.int64).tofile(file)
        self._exact.add(keys.rows.exact, self._rows)
        self._splits.add(keys.rows.group, self._rows)
        if self._near is not None and keys.signatures is not None:
            self._near.add(keys.signatures, self._rows)
        self._rows += len(lines)

    def add_evaluation(self, file: int, lines: NDArray[np.int64], keys: BlockKeys) -> None:
        """Add rows of an evaluation file."""
        self._evaluation.add(file, lines, keys.rows.group, keys.signatures)

    def known_groups(self) -> KnownGroups:
        """Index of the groups of all rows and evaluation rows. Call once."""
        return KnownGroups([self._splits, self._evaluation.groups], self._folder / "known-groups")

    def decide(self) -> "DiskDecisions":
        """Take all decisions. Call once.

        Raises:
            TooFewTextsError: There are too few different texts for the splits.
        """
        exact, leaders = self._leaders()
        splits = self._splits.plan(leaders)
        matches = None
        if self._plan.evaluation_file_ids or self._plan.contamination_threshold:
            matches = contaminated_rows(
                self._evaluation,
                self._splits,
                self._near,
                splits.split,
                self._folder / "matches",
            )
        lines: NDArray[np.int64] = np.zeros(0, np.int64)
        if self._rows:
            lines = np.memmap(self._lines, np.int64, mode="r")
        return DiskDecisions(lines, exact, leaders, splits, matches)

    def _leaders(self) -> tuple[Leaders, Leaders]:
        """Leaders of exact duplicates, and of near duplicates."""
        if self._plan.keep_exact:
            own = identity_leaders(self._folder / "own", self._rows)
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
    """Contamination matches, dtype `MATCH`; None if not checked."""

    def row_decisions(self, start: int, stop: int) -> RowDecisions:
        """Decisions for ordinals `start` to `stop` (exclusive)."""
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
        # Otherwise touched pages would accumulate in this process' memory.
        release_pages(self.lines, self.exact, self.leaders, self.splits.split)
        return RowDecisions(verdict, other, file, split.astype(np.int8))

    def clusters(self) -> list[Cluster]:
        """Sample of duplicate clusters."""
        return summarise_clusters(self.leaders, self.lines).clusters

    def several_answers(self) -> dict[str, Any]:
        """How many first user messages are answered in several ways, and lines of some of them.

        Duplicates that the plan keeps are not told from other answers.
        """
        found = self.splits.several_answers
        lines = [self.lines[ordinals].tolist() for ordinals in found.ordinals]
        return {"texts": found.groups, "lines": lines}

    def contaminated(self) -> dict[str, int]:
        """Contaminated rows by leaked set (`leaked_set`): files in order, then the test split."""
        counts: Counter[int] = Counter()
        if self.matches is not None:
            for part in chunks(len(self.matches)):
                files, rows = np.unique(self.matches["file"][part], return_counts=True)
                counts.update(dict(zip(files.tolist(), rows.tolist(), strict=True)))
        known = sorted(file for file in counts if file >= 0)
        named = {leaked_set(file): counts[file] for file in known}
        return named | ({leaked_set(None): counts[OWN_TEST]} if counts[OWN_TEST] else {})

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
