"""What differs between the arms of accuracy.*: planted copies for all, and a spec for each."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelmill_cli.demo.recipe import demo_mapping

from tests.bench.planted_duplicates import edited
from tests.bench.prep_rows import NOUNS
from tests.bench.prep_spec import LIMITS
from tests.bench.rows_sample import Row

COPIES_SHARE = 0.3
"""Of the rows of the file that all arms are given."""
NEAR_RATE = 0.02
"""Share of its characters, one at least, that every other copy has otherwise."""
MADE_SHARE = 0.5
"""New rows for each row of train, where rows are made."""
TEST_SHARE = 0.45
"""Of the rows drawn, before they are cut to as many as are wanted."""
EVALUATION_FILE = "file-held-out"
THRESHOLD: float = LIMITS["near_threshold"]

RAW, DEDUP = "raw", "dedup"
AUGMENT, STAGED, COMPETENCE = "augment", "curriculum.staged", "curriculum.competence"


@dataclass(frozen=True)
class Arm:
    """One way to make the same file a dataset."""

    name: str
    over: str
    """The arm that it differs from in one thing; empty for the first."""
    parts: Mapping[str, Any]
    """Of the DatasetSpec, beside what all have."""


_NEAR = {"near_threshold": THRESHOLD}
_SYNONYMS = {"steps": [{"method": "synonyms", "share": MADE_SHARE}]}
ARMS: tuple[Arm, ...] = (
    Arm(RAW, "", {"duplicates": {"keep_exact": True}}),
    Arm(DEDUP, RAW, {"duplicates": _NEAR}),
    Arm(AUGMENT, DEDUP, {"duplicates": _NEAR, "augment": _SYNONYMS}),
    Arm(STAGED, DEDUP, {"duplicates": _NEAR, "curriculum": {"order": "staged"}}),
    Arm(COMPETENCE, DEDUP, {"duplicates": _NEAR, "curriculum": {"order": "competence"}}),
)
BY_NAME = {arm.name: arm for arm in ARMS}


def arms_for(wanted: Sequence[str]) -> list[Arm]:
    """The arms of these names and those that they are compared with, each once, in our order."""
    needed = set(wanted) | {BY_NAME[name].over for name in wanted}
    return [arm for arm in ARMS if arm.name in needed]


def arm_spec(arm: Arm, seed: int) -> dict[str, Any]:
    """The DatasetSpec of an arm: all rows are of train, and none near a held-out row."""
    duplicates = {
        **arm.parts["duplicates"],
        "evaluation_file_ids": [EVALUATION_FILE],
        "contamination_threshold": THRESHOLD,
    }
    return {**_common(seed), "shares": {"train": 1.0}, **arm.parts, "duplicates": duplicates}


def source_spec(seed: int, test_rows: int) -> dict[str, Any]:
    """The DatasetSpec that tells held-out rows from the rest, with no duplicates in or between."""
    return {
        **_common(seed),
        "shares": {"train": 1 - TEST_SHARE, "test": TEST_SHARE},
        "max_test_rows": test_rows,
        "duplicates": {"near_threshold": THRESHOLD, "contamination_threshold": THRESHOLD},
    }


def _common(seed: int) -> dict[str, Any]:
    return {
        "name": "bench-accuracy",
        "file_id": "file-bench",
        "mapping": demo_mapping(),
        "seed": seed,
    }


def with_copies(rows: Sequence[Row], share: float, seed: int) -> list[Row]:
    """The rows and copies of some of them, so that copies are `share` of all, in any order.

    Sources are drawn with replacement. Every other copy differs from its source as `NEAR_RATE`
    says; labels stay.
    """
    chance = random.Random(seed)
    alphabet = "".join(row[NOUNS.long_column] for row in rows)
    sources = chance.choices(rows, k=round(len(rows) * share / (1 - share)))
    copies = [
        {**row, NOUNS.long_column: edited(row[NOUNS.long_column], NEAR_RATE, alphabet, chance)}
        if number % 2
        else row
        for number, row in enumerate(sources)
    ]
    all_rows = [*rows, *copies]
    chance.shuffle(all_rows)
    return all_rows
