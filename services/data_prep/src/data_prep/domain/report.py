"""What became of the rows, counted while they pass; written as report.json."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from data_prep.domain.duplicates import DuplicateFilter
from data_prep.domain.measure import Measure as Measure
from data_prep.domain.rows import Conversation, RejectedRow

MAX_CHOICES = 64
"""With more different answers than this, rows are no choice among labels."""


class RowReport:
    """Counts rows as they pass; the memory it takes does not grow with them."""

    def __init__(self) -> None:
        self.rows_in = 0
        self.rows_kept = 0
        self.reasons: Counter[str] = Counter()
        self._languages: Counter[str] = Counter()
        self._token_buckets: Counter[int] = Counter()
        self._tokens = 0
        self._sentences = 0
        self._answers: Counter[str] | None = Counter()

    @property
    def rows_quarantined(self) -> int:
        return self.reasons.total()

    @property
    def choices(self) -> list[str] | None:
        """The different answers, sorted; None unless few and each the only one of its row."""
        return sorted(self._answers) if self._answers is not None else None

    def add_rejected(self, rows: Iterable[RejectedRow]) -> None:
        self.reasons.update(row.reason for row in rows)

    def add_kept(self, conversation: Conversation, measure: Measure) -> None:
        self.rows_kept += 1
        self._languages[measure.language] += 1
        self._token_buckets[max(measure.tokens - 1, 0).bit_length()] += 1
        self._tokens += measure.tokens
        self._sentences += measure.sentences
        if self._answers is not None:
            self._answers[conversation.answer] += 1
            if not conversation.is_single_turn or len(self._answers) > MAX_CHOICES:
                self._answers = None

    def counts(self, rows_of_split: Mapping[str, int], rows_duplicate: int) -> dict[str, int]:
        """The counts that the dataset is announced with.

        Raises:
            RuntimeError: A row got lost on the way, which is a bug.
        """
        accounted = self.rows_kept + self.rows_quarantined + rows_duplicate
        in_splits = sum(rows_of_split.values())
        if self.rows_in != accounted or self.rows_kept != in_splits:
            raise RuntimeError(
                f"{self.rows_in} rows in, {accounted} accounted for, {in_splits} in splits"
            )
        return {
            "rows_in": self.rows_in,
            "rows_kept": self.rows_kept,
            "rows_quarantined": self.rows_quarantined,
            "rows_duplicate": rows_duplicate,
            **{split: rows_of_split.get(split, 0) for split in ("train", "valid", "test")},
        }

    def to_json(self, counts: Mapping[str, int], duplicates: DuplicateFilter) -> dict[str, Any]:
        """The whole report; the same rows give the same report."""
        return {
            "counts": dict(counts),
            "reasons": dict(self.reasons.most_common()),
            "languages": dict(self._languages.most_common()),
            "tokens": {
                "total": self._tokens,
                "mean": round(self._tokens / max(self.rows_kept, 1), 2),
                "histogram": {
                    _bucket_name(bucket): rows
                    for bucket, rows in sorted(self._token_buckets.items())
                },
            },
            "sentences": {
                "total": self._sentences,
                "mean": round(self._sentences / max(self.rows_kept, 1), 2),
            },
            "choices": None if self._answers is None else dict(self._answers.most_common()),
            "duplicates": [asdict(cluster) for cluster in duplicates.clusters.values()],
        }


def _bucket_name(bits: int) -> str:
    """Buckets double: 0-1, 2, 3-4, 5-8, 9-16, ... tokens."""
    low, high = (0, 1) if bits == 0 else (2 ** (bits - 1) + 1, 2**bits)
    return str(high) if low == high else f"{low}-{high}"
