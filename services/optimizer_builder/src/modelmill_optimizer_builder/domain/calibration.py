"""Calibration set of a form: stretches of training rows and of general text, as token ids."""

import hashlib
import random
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

SAMPLES = 32
SAMPLE_TOKENS = 128
MAX_ROWS = 128
"""Training rows that are read; chosen by chance, always the same ones."""
MAX_ROW_TOKENS = 4 * SAMPLE_TOKENS
"""Of a long row only the beginning is read, so that it does not stand for all."""


@dataclass(frozen=True)
class AnsweredPrompt:
    """A row as token ids, and where in it its last answer is."""

    ids: Sequence[int]
    answer_start: int
    answer_end: int

    @property
    def read(self) -> Sequence[int]:
        """What a model is asked about: all up to the end of the answer."""
        return self.ids[: self.answer_end]

    def of_answer(self, likelihoods: Sequence[float]) -> Sequence[float]:
        """Those of the answer's tokens, of those of `read`; the first token has none."""
        return likelihoods[self.answer_start - 1 :]


@dataclass(frozen=True)
class JudgingSet:
    """What methods are judged by, of which none is a sample of the calibration."""

    rows: Sequence[AnsweredPrompt] = ()
    split: str = ""
    """Of the dataset that the rows are of: never test."""
    texts: Sequence[Sequence[int]] = ()
    """General text."""

    def as_json(self) -> dict[str, Any]:
        """Plain values for a manifest."""
        return {"rows": len(self.rows), "split": self.split, "general_texts": len(self.texts)}


@dataclass(frozen=True)
class CalibrationSet:
    """Samples, and where they are from."""

    samples: tuple[tuple[int, ...], ...]
    from_training: int
    """How many of them are of training rows; they come first."""
    training_rows: int
    """Rows that they were cut from."""
    judging: JudgingSet = field(default_factory=JudgingSet)

    @property
    def digest(self) -> str:
        """Digest of the token ids of all samples, in order."""
        hashed = hashlib.sha256()
        for sample in self.samples:
            hashed.update(array("q", [len(sample), *sample]).tobytes())
        return f"sha256:{hashed.hexdigest()}"

    def as_json(self) -> dict[str, Any]:
        """Plain values for a manifest."""
        return {
            "digest": self.digest,
            "samples": len(self.samples),
            "tokens": sum(map(len, self.samples)),
            "samples_of_training_rows": self.from_training,
            "training_rows": self.training_rows,
        }


def choose_rows(lines: Iterable[str], count: int = MAX_ROWS) -> list[str]:
    """Up to `count` lines, each as likely as any other; the same ones each time."""
    chosen: list[str] = []
    generator = random.Random(0)
    for number, line in enumerate(lines):
        if len(chosen) < count:
            chosen.append(line)
        elif (place := generator.randrange(number + 1)) < count:
            chosen[place] = line
    return chosen


def mixed(
    rows: Sequence[Sequence[int]], general: Sequence[int], judging: JudgingSet | None = None
) -> CalibrationSet:
    """Half of the samples of training rows, the rest of general text; all of it without rows.

    Where the rows are too short for their half, general text fills it.
    """
    joined = [token for row in rows for token in row[:MAX_ROW_TOKENS]]
    own = _stretches(joined, SAMPLES // 2)
    others = _stretches(general, SAMPLES - len(own))
    return CalibrationSet((*own, *others), len(own), len(rows), judging or JudgingSet())


def _stretches(ids: Sequence[int], count: int) -> list[tuple[int, ...]]:
    """Up to `count` samples, spread evenly over `ids`; a shorter one if there is no whole one."""
    whole = len(ids) // SAMPLE_TOKENS
    if not whole:
        return [tuple(ids)] if ids else []
    count = min(count, whole)
    starts = [place * whole // count * SAMPLE_TOKENS for place in range(count)]
    return [tuple(ids[start : start + SAMPLE_TOKENS]) for start in starts]
