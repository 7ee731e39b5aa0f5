"""Row statistics, gathered per block in workers and merged in block order.

Tokens and sentences are counted for whole batches without a tokenizer.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from modelmill_data_prep.domain.code_points import HAN, CharacterClass, CodePoints
from modelmill_data_prep.domain.doubtful_choices import doubtful_choices
from modelmill_data_prep.domain.language_names import Language
from modelmill_data_prep.domain.languages import languages_of
from modelmill_data_prep.domain.reading.faults import counted
from modelmill_data_prep.domain.row_decisions import DUPLICATE_RULES

C = CharacterClass
_MARKS = (C.PUNCTUATION, C.SENTENCE_END, C.APOSTROPHE, C.SYMBOL, C.LOST)
_SILENT = (C.OTHER, C.SPACE, C.PUNCTUATION, C.APOSTROPHE, C.SYMBOL, C.LOST, C.MARK)


@dataclass(frozen=True, slots=True)
class TextLength:
    """Length of one row, without its system message."""

    language: Language
    tokens: int
    """Words and punctuation marks; a Han character is one token."""

    sentences: int


def measure_lengths(texts: Sequence[str]) -> list[TextLength]:
    """Measure rows, each given as its text without the system message.

    A token is a word, a Han or kana character, or a punctuation mark; a run of equal marks is one.
    A sentence ends at a full stop or similar mark that no letter or digit follows, or at a line
    end, and has at least one word.
    """
    points = CodePoints(texts)
    marks = points.marked(_MARKS)
    marks[1:] &= points.codes[1:] != points.codes[:-1]
    words = points.in_words()
    marks &= ~words
    words[1:] &= ~words[:-1].copy()
    tokens = points.per_text(marks | words) + points.count((*HAN, C.KANA))
    return [
        TextLength(*row)
        for row in zip(
            languages_of(texts, points),
            tokens.tolist(),
            _sentences(points).tolist(),
            strict=True,
        )
    ]


def _sentences(points: CodePoints) -> NDArray[np.int64]:
    ends = (points.classes == C.SENTENCE_END) | (points.classes == C.LINE_BREAK)
    speaks = ~points.marked((*_SILENT, C.SENTENCE_END, C.LINE_BREAK))
    # "3.14" and "e.g." have no end inside.
    narrow = np.flatnonzero(points.codes == ord("."))
    ends[narrow[speaks[narrow + 1]]] = False
    events = np.flatnonzero(ends | speaks)
    closing = speaks[events].copy()
    closing[:-1] &= ends[events[1:]]
    return points.per_text_at(events[closing])


MAX_CHOICES = 64
"""With more distinct answers the dataset is not a classification dataset."""

SAMPLES_PER_RULE = 5
"""Sample rows shown per rule."""


@dataclass
class StageCount:
    """Counters of one stage."""

    rows_in: int = 0
    rows_dropped: int = 0
    rows_changed: int = 0


@dataclass
class Sample:
    """A sample of a removed row."""

    line: int
    text: str
    detail: str | None


@dataclass
class Tally:
    """Statistics of a block or a whole file; constant size."""

    rows_in: int = 0
    rows_kept: int = 0
    rows_made: int = 0
    """Kept rows that were created by augmentation."""
    turns_not_learned: int = 0
    """Answers, other than the last of a row, without loss."""
    stages: dict[str, StageCount] = field(default_factory=dict)
    rules: Counter[str] = field(default_factory=Counter)
    """Removed rows by "<outcome> <rule>", such as "dropped filter.characters.min"."""
    reasons: Counter[str] = field(default_factory=Counter)
    """Quarantined rows by human-readable reason."""
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    difficulty: Counter[str] = field(default_factory=Counter)
    """Train rows by difficulty tier."""
    entities: Counter[str] = field(default_factory=Counter)
    """Entities by type and action, such as "email mask"."""
    languages: Counter[str] = field(default_factory=Counter)
    token_buckets: Counter[int] = field(default_factory=Counter)
    character_buckets: Counter[int] = field(default_factory=Counter)
    tokens: int = 0
    sentences: int = 0
    answers: Counter[str] | None = field(default_factory=Counter)
    """Distinct answers; None once they are too many for labels, or a row has several."""

    def add_stage(self, name: str, rows_in: int, dropped: pa.RecordBatch, changed: int) -> None:
        """Count a batch processed by a stage."""
        stage = self.stages.setdefault(name, StageCount())
        stage.rows_in += rows_in
        stage.rows_dropped += dropped.num_rows
        stage.rows_changed += changed
        self.add_dropped(dropped)

    def add_dropped(self, dropped: pa.RecordBatch) -> None:
        """Count removed rows."""
        for row in dropped.to_pylist():
            self.rules[f"{row['outcome']} {row['rule']}"] += 1
            if row["outcome"] == "quarantined":
                self.reasons[counted(row["detail"] or row["rule"])] += 1
            shown = self.samples.setdefault(row["rule"], [])
            if len(shown) < SAMPLES_PER_RULE:
                shown.append(Sample(row["line"], row["sample"], row["detail"]))

    def add_kept(
        self,
        measures: Sequence[TextLength],
        characters: Iterable[int],
        answers: Iterable[str | None],
    ) -> None:
        """Count kept rows.

        Args:
            characters: Characters of each row.
            answers: Answer of each single-turn row; None for others.
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

    def doubtful_choices(self) -> dict[str, str]:
        """Answers that may be misspelt, with those that may be meant."""
        return doubtful_choices(self.answers or {})

    def taken_out(self) -> dict[str, int]:
        """Counts of removed rows by outcome."""
        duplicate = sum(self.rules[f"dropped {rule}"] for rule in DUPLICATE_RULES)
        return {
            "rows_quarantined": self._of_outcome("quarantined"),
            "rows_duplicate": duplicate,
            "rows_dropped": self._of_outcome("dropped") - duplicate,
        }

    def _of_outcome(self, outcome: str) -> int:
        return sum(rows for rule, rows in self.rules.items() if rule.startswith(outcome))

    def merge(self, later: "Tally") -> None:
        """Merge the statistics of later blocks."""
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
    """Exponential buckets: 0-1, 2, 3-4, 5-8, 9-16, ..."""
    return max(count - 1, 0).bit_length()


def _as_labels(known: Counter[str], more: Mapping[Any, int] | None) -> Counter[str] | None:
    both = known + Counter(more)
    return both if len(both) <= MAX_CHOICES else None
