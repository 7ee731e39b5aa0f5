"""The judge's committed rows are what their maker makes, and what is held out was not learned."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml
from modelmill_guard.judge import Judge
from modelmill_guard.policy import parse_policy

SAFETY = Path(__file__).parents[2] / "examples" / "safety-classifier"
DATA = SAFETY / "data"
FILES = ("train.jsonl", "held_out.jsonl", "held_answers.jsonl")


def rows_of(file: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def made(folder: Path, *options: str) -> list[bytes]:
    folder.mkdir()
    command = [sys.executable, str(SAFETY / "make_rows.py"), "--out", str(folder), *options]
    subprocess.run(command, check=True, capture_output=True)
    return [(folder / name).read_bytes() for name in FILES]


@pytest.fixture(scope="module")
def train() -> list[dict[str, str]]:
    return rows_of(DATA / "train.jsonl")


@pytest.fixture(scope="module")
def held() -> list[dict[str, str]]:
    return rows_of(DATA / "held_out.jsonl")


@pytest.fixture(scope="module")
def judge() -> Judge:
    return parse_policy({"policy.yaml": (SAFETY / "policy.yaml").read_text("utf-8")}).judges[0]


def test_anyone_makes_the_committed_rows_again_and_others_by_another_seed(tmp_path: Path) -> None:
    again, other = made(tmp_path / "again"), made(tmp_path / "other", "--seed", "8")
    assert again == [(DATA / name).read_bytes() for name in FILES]
    assert all(one != two for one, two in zip(again, other, strict=True))


def test_no_held_out_text_is_within_a_row_to_train_on(
    train: list[dict[str, str]], held: list[dict[str, str]]
) -> None:
    held = held + rows_of(DATA / "held_answers.jsonl")
    learned = "\n".join(row["text"].casefold() for row in train)
    assert [row["text"] for row in held if row["text"].casefold() in learned] == []


def test_one_source_is_held_out_as_a_whole(
    train: list[dict[str, str]], held: list[dict[str, str]]
) -> None:
    harmful = rows_of(DATA / "harmful.jsonl")
    apart = {row["text"] for row in harmful if row["source"] == "harmbench"}
    assert apart == {row["text"] for row in held if row["group"] == "harmbench"}
    assert not any(text in row["text"] for row in train for text in apart)


def test_both_files_have_every_label_of_the_policy_and_no_other(
    train: list[dict[str, str]], held: list[dict[str, str]], judge: Judge
) -> None:
    labels = set(dict(judge.labels))
    assert {row["label"] for row in train} == {row["label"] for row in held} == labels
    assert min(Counter(row["label"] for row in train).values()) >= 40


def test_the_judge_asks_as_it_was_taught(judge: Judge) -> None:
    recipe = yaml.safe_load((SAFETY / "recipe.yaml").read_text("utf-8"))
    mapping = recipe["data"]["mapping"]
    assert mapping["system_template"] == judge.instruction
    assert (mapping["user_template"], mapping["answer_template"]) == ("{text}", "{label}")


def test_the_judge_may_stand_beside_the_starter_rules(judge: Judge) -> None:
    starters = (SAFETY.parents[1] / "services/moderation/src/modelmill_moderation/policies").glob(
        "*.yaml"
    )
    files = [*starters, SAFETY / "policy.yaml"]
    together = parse_policy({file.name: file.read_text("utf-8") for file in files})
    assert (len(together.rules) > 10, together.judges) == (True, (judge,))


def test_no_text_is_about_sex_with_minors() -> None:
    # Nothing of the kind is kept here, not even to be refused.
    sexual = [row["text"] for row in rows_of(DATA / "harmful.jsonl") if row["label"] == "sexual"]
    words = {word.strip(".,?!'\"").casefold() for text in sexual for word in text.split()}
    assert not words & {"child", "children", "kid", "kids", "minor", "minors", "teen", "teens"}
