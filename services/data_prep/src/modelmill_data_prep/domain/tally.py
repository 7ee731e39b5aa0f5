"""Counts of rows, gathered block by block in any process, added up in the order of the blocks."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from modelmill_data_prep.domain.measure import Measure
from modelmill_data_prep.domain.reading.faults import counted
from modelmill_data_prep.domain.verdicts import DUPLICATE_RULES

MAX_CHOICES = 64
"""With more different answers than this, rows are no choice among labels."""

SAMPLES_PER_RULE = 5
"""Of the rows that a rule took out, the first ones are shown."""


@dataclass
class StageCount:
    """What one stage did."""

    rows_in: int = 0
    rows_dropped: int = 0
    rows_changed: int = 0


@dataclass
class Sample:
    """A row that a rule took out."""

    line: int
    text: str
    detail: str | None


@dataclass
class Tally:
    """What is counted of a block or of a whole file; does not grow with the rows."""

    rows_in: int = 0
    rows_kept: int = 0
    rows_made: int = 0
    """Of those kept, made of others."""
    turns_not_learned: int = 0
    """Answers before the last one that the loss is not taken on."""
    stages: dict[str, StageCount] = field(default_factory=dict)
    rules: Counter[str] = field(default_factory=Counter)
    """Rows taken out, by outcome and rule: "dropped filter.characters.min"."""
    reasons: Counter[str] = field(default_factory=Counter)
    """Rows quarantined, by reason in words."""
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    difficulty: Counter[str] = field(default_factory=Counter)
    """Rows of train by tier, where they have one."""
    entities: Counter[str] = field(default_factory=Counter)
    """Entities found, by type and what was done: "email mask"."""
    languages: Counter[str] = field(default_factory=Counter)
    token_buckets: Counter[int] = field(default_factory=Counter)
    character_buckets: Counter[int] = field(default_factory=Counter)
    tokens: int = 0
    sentences: int = 0
    answers: Counter[str] | None = field(default_factory=Counter)
    """The different answers; None once they are too many to be labels, or a row has several."""

    def add_stage(self, name: str, rows_in: int, dropped: pa.RecordBatch, changed: int) -> None:
        """A stage that has taken a batch."""
        stage = self.stages.setdefault(name, StageCount())
        stage.rows_in += rows_in
        stage.rows_dropped += dropped.num_rows
        stage.rows_changed += changed
        self.add_dropped(dropped)

    def add_dropped(self, dropped: pa.RecordBatch) -> None:
        """Rows that go no further."""
        for row in dropped.to_pylist():
            self.rules[f"{row['outcome']} {row['rule']}"] += 1
            if row["outcome"] == "quarantined":
                self.reasons[counted(row["detail"] or row["rule"])] += 1
            shown = self.samples.setdefault(row["rule"], [])
            if len(shown) < SAMPLES_PER_RULE:
                shown.append(Sample(row["line"], row["sample"], row["detail"]))

    def add_kept(
        self, measures: Sequence[Measure], characters: Iterable[int], answers: Iterable[str | None]
    ) -> None:
        """Rows that are in the dataset.

        Args:
            characters: Of each row how many are spoken.
            answers: Of each row the answer, where it has exactly one; None where not.
        """
        self.rows_kept += len(measures)
        self.languages.update(measure.language for measure in measures)
        self.token_buckets.update(_bucket(measure.tokens) for measure in measures)
        self.character_buckets.update(map(_bucket, characters))
        self.tokens += sum(measure.tokens for measure in measures)
        self.sentences += sum(measure.sentences for measure in measures)
        if self.answers is not None:
            found = Counter(answers)
            several = found.pop(None, 0) > 0
            self.answers = None if several else _as_labels(self.answers, found)

    def taken_out(self) -> dict[str, int]:
        """Rows that are not kept, by what became of them."""
        duplicate = sum(self.rules[f"dropped {rule}"] for rule in DUPLICATE_RULES)
        return {
            "rows_quarantined": self._of_outcome("quarantined"),
            "rows_duplicate": duplicate,
            "rows_dropped": self._of_outcome("dropped") - duplicate,
        }

    def _of_outcome(self, outcome: str) -> int:
        return sum(rows for rule, rows in self.rules.items() if rule.startswith(outcome))

    def merge(self, later: "Tally") -> None:
        """Add the tally of what comes after."""
        self.rows_in += later.rows_in
        self.rows_kept += later.rows_kept
        self.rows_made += later.rows_made
        self.turns_not_learned += later.turns_not_learned
        self.tokens += later.tokens
        self.sentences += later.sentences
        for name in ("rules", "reasons", "entities", "languages", "token_buckets"):
            getattr(self, name).update(getattr(later, name))
        self.character_buckets.update(later.character_buckets)
        for name, stage in later.stages.items():
            mine = self.stages.setdefault(name, StageCount())
            mine.rows_in += stage.rows_in
            mine.rows_dropped += stage.rows_dropped
            mine.rows_changed += stage.rows_changed
        for rule, samples in later.samples.items():
            shown = self.samples.setdefault(rule, [])
            shown += samples[: SAMPLES_PER_RULE - len(shown)]
        if self.answers is not None:
            many = later.answers is None
            self.answers = None if many else _as_labels(self.answers, later.answers)


def _bucket(count: int) -> int:
    """Buckets double: 0-1, 2, 3-4, 5-8, 9-16, ..."""
    return max(count - 1, 0).bit_length()


def _as_labels(known: Counter[str], more: Mapping[Any, int] | None) -> Counter[str] | None:
    both = known + Counter(more)
    return both if len(both) <= MAX_CHOICES else None
