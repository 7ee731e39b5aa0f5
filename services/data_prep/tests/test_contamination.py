"""Rows that give an evaluation away are found, and named by what they give away."""

import random
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from modelmill_data_prep.domain.duplicates.contamination import (
    NO_MATCH,
    OWN_TEST,
    EvaluationRows,
    contaminated_rows,
)
from modelmill_data_prep.domain.duplicates.exact import KeyedOrdinals
from modelmill_data_prep.domain.duplicates.plan import DuplicatesPlan, plan_duplicates
from modelmill_data_prep.domain.duplicates.row_keys import signatures
from modelmill_data_prep.domain.duplicates.signature_store import SignatureStore
from modelmill_data_prep.domain.duplicates.split_planner import DROPPED
from modelmill_data_prep.domain.row_decisions import TEST, TRAIN, VALID
from modelmill_service_kit.errors import InvalidInputError

THRESHOLD = 0.8
chance = random.Random(4)
TEXTS = ["".join(chance.choices("abcdefghij ", k=200)) for _ in range(60)]


def keys(texts: list[str]) -> np.ndarray:
    """A key of 16 bytes that spreads over the divisions."""
    numbers = [int.from_bytes(text.encode()[:8], "big") * 0x9E3779B97F4A7C15 for text in texts]
    return np.array([[number % 2**64, len(texts[0])] for number in numbers], np.uint64)


def matches(
    folder: Path,
    rows: list[str],
    split: list[int],
    evaluations: list[list[str]],
    threshold: float = THRESHOLD,
) -> list[tuple[int, int]]:
    evaluation = EvaluationRows(folder / "evaluation", threshold)
    for file, texts in enumerate(evaluations):
        lines = np.arange(len(texts)) + 1
        evaluation.add(file, lines, keys(texts), signatures(pa.array(texts)))
    groups, near = KeyedOrdinals(folder / "groups"), SignatureStore(folder / "near", [threshold])
    groups.add(keys(rows), 0)
    near.add(signatures(pa.array(rows)), 0)
    where = np.array(split, np.int8)
    found = contaminated_rows(evaluation, groups, near, where, folder / "matches")
    return [(int(one["file"]), int(one["row"])) for one in found]


def near(text: str) -> str:
    return "Z" + text[1:]


def test_equal_and_near_rows_of_train_and_valid_name_the_evaluation_row(tmp_path: Path) -> None:
    rows = [TEXTS[0], near(TEXTS[1]), TEXTS[2], near(TEXTS[3]), TEXTS[4], TEXTS[5]]
    evaluations = [[TEXTS[9], TEXTS[0]], [TEXTS[3], TEXTS[1], TEXTS[0], TEXTS[4], TEXTS[5]]]

    found = matches(tmp_path, rows, [TRAIN, VALID, TRAIN, TRAIN, TEST, DROPPED], evaluations)

    nothing = (NO_MATCH, 0)
    assert found == [(0, 2), (1, 2), nothing, (1, 1), nothing, nothing]


def test_without_a_threshold_only_equal_rows_are_named(tmp_path: Path) -> None:
    rows = [TEXTS[0], near(TEXTS[1]), near(TEXTS[2]), TEXTS[2]]

    found = matches(tmp_path, rows, [TRAIN, TRAIN, TRAIN, TEST], [[TEXTS[0], TEXTS[1]]], 0)

    assert found == [(0, 1), *[(NO_MATCH, 0)] * 3]


def test_a_row_near_to_the_own_test_split_names_its_row(tmp_path: Path) -> None:
    rows = [near(TEXTS[0]), TEXTS[1], TEXTS[0], near(TEXTS[1])]

    found = matches(tmp_path, rows, [TRAIN, TEST, TEST, VALID], [])

    nothing = (NO_MATCH, 0)
    assert found == [(OWN_TEST, 2), nothing, nothing, (OWN_TEST, 1)]


def test_a_near_row_is_found_among_many_others(tmp_path: Path) -> None:
    rows = [*TEXTS[:30], *(near(text) for text in TEXTS[30:])]

    found = matches(tmp_path, rows, [TRAIN] * 60, [TEXTS[30:]])

    assert found == [(NO_MATCH, 0)] * 30 + [(0, line) for line in range(1, 31)]


def test_a_plan_has_defaults_and_the_thresholds_that_signatures_are_needed_for() -> None:
    assert plan_duplicates({}) == DuplicatesPlan()
    assert plan_duplicates({}).thresholds == ()
    plan = plan_duplicates(
        {
            "near_threshold": 0.8,
            "contamination_threshold": 0.7,
            "evaluation_file_ids": ["file-1", "file-2"],
        }
    )
    assert plan == DuplicatesPlan(False, 0.8, ("file-1", "file-2"), 0.7)
    assert plan.thresholds == (0.7, 0.8)
    assert plan_duplicates({"keep_exact": True}).keep_exact


def test_everything_that_is_wrong_is_said_at_once() -> None:
    spec = {
        "keep_exact": True,
        "near_threshold": 1.5,
        "contamination_threshold": float("nan"),
        "evaluation_file_ids": ["", "a", "a", *map(str, range(20))],
    }

    with pytest.raises(InvalidInputError) as caught:
        plan_duplicates(spec)

    assert caught.value.errors == [
        "duplicates: near_threshold must be 0 or between 0.4 and 1, got 1.5",
        "duplicates: contamination_threshold must be 0 or between 0.4 and 1, got nan",
        "duplicates: give either keep_exact or near_threshold, not both",
        "duplicates: an id in evaluation_file_ids is empty",
        "duplicates: evaluation_file_ids names 'a' more than once",
        "duplicates: evaluation_file_ids has more than 16 files",
    ]


def test_a_hundred_thousand_evaluation_files_are_refused_in_no_time():
    ids = [f"file-{number}" for number in range(100_000)]
    began = time.process_time()
    with pytest.raises(InvalidInputError, match="more than 16 files"):
        plan_duplicates({"evaluation_file_ids": ids})
    assert time.process_time() - began < 2
