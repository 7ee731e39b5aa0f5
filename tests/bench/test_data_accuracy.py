"""Arms of accuracy.*: what they share, in what they differ, and how two of them are compared."""

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.accuracy_arms import ARMS, BY_NAME, arm_spec, arms_for, with_copies
from tests.bench.accuracy_trial import Score, Size, begin, make_dataset, user_texts
from tests.bench.data_accuracy import line_of, paired_ratio

ROWS = [
    {"word": f"w{number}", "gloss": f"a gloss of word {number}", "label": "act"}
    for number in range(70)
]


def a_score(correct: list[bool]) -> Score:
    return Score(correct, [False] * len(correct), 10, 0, 2, 100)


def keys(rows: list[dict[str, str]]) -> Counter[str]:
    return Counter(json.dumps(row) for row in rows)


def test_copies_are_the_share_asked_for_half_of_them_equal_and_half_nearly():
    planted = with_copies(ROWS, 0.3, seed=1)

    counts = keys(planted)
    edited = [row for row in planted if row["gloss"] not in {one["gloss"] for one in ROWS}]
    assert len(planted) == 100
    assert all(counts[one] >= 1 for one in keys(ROWS))
    # A new character may be the one that was there.
    assert 13 <= len(edited) <= 15
    assert {row["word"] for row in edited} <= {row["word"] for row in ROWS}
    assert planted == with_copies(ROWS, 0.3, seed=1) != with_copies(ROWS, 0.3, seed=2)


def test_an_arm_differs_from_the_one_it_is_compared_with_in_one_part_alone():
    for arm in ARMS[1:]:
        ours, other = arm_spec(arm, 7), arm_spec(BY_NAME[arm.over], 7)
        different = {name for name in ours | other if ours.get(name) != other.get(name)}
        assert different == {{"dedup": "duplicates"}.get(arm.name, arm.name.partition(".")[0])}


def test_one_arm_brings_along_only_what_it_is_compared_with():
    assert [arm.name for arm in arms_for(["augment"])] == ["dedup", "augment"]
    assert arms_for([arm.name for arm in ARMS]) == list(ARMS)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_the_ratio_of_two_models_lies_in_its_interval_and_is_1_for_the_same(pairs):
    ours, other = map(list, zip(*pairs, strict=True))

    ratio, low, high = paired_ratio(ours, other)

    assert low <= ratio <= high
    if sum(other):
        assert ratio == sum(ours) / sum(other)
        assert paired_ratio(other, other)[0] == 1


def test_a_step_that_does_harm_is_an_entry_like_any_other():
    scores = {
        "dedup": a_score([True] * 8 + [False] * 2),
        "augment": a_score([True] * 4 + [False] * 6),
    }

    line = line_of(BY_NAME["augment"], scores)

    assert (line.value, line.ratio, line.goal, line.met) == (0.4, 0.5, "", None)
    assert "-40.0 (" in line.note


@pytest.mark.tier("test")
@pytest.mark.timeout(60)
async def test_held_out_rows_are_in_no_arm_and_copies_only_where_they_are_kept(tmp_path: Path):
    size = Size(train_rows=60, test_rows=20)
    trial = await begin(1, size, Path("base"), tmp_path)
    rows: dict[str, list[str]] = {}
    for name in ("raw", "dedup"):
        scratch = tmp_path / name
        scratch.mkdir()
        dataset, made = await make_dataset(trial, BY_NAME[name], scratch)
        rows[name] = user_texts(dataset / "train.jsonl")
        assert made == 0
        assert len(user_texts(dataset / "test.jsonl")) == 20
    held_out = set(user_texts(trial.test))
    assert len(held_out) == 20
    assert not held_out & {*rows["raw"], *rows["dedup"]}
    assert len(rows["raw"]) == round(60 / 0.7)
    assert 60 <= len(rows["dedup"]) < 70
    assert len(set(rows["dedup"])) == len(rows["dedup"])
