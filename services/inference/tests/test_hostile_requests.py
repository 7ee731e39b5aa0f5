"""Hostile requests harm nobody beside them.

`python -m services.inference.tests.hostile` sends ten thousand.
"""

from pathlib import Path

import pytest
from modelmill_tokenization.chat_tokenizer import ChatTokenizer

from .hostile.storm import Outcome, storm_engine, storm_service

pytestmark = [pytest.mark.heavy]

COUNT = 100
REFUSALS = {"INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "RESOURCE_EXHAUSTED"}
"""What the service says to requests that nobody should send."""


def assert_nobody_was_harmed(outcome: Outcome) -> None:
    assert not outcome.harmed
    assert not outcome.restarts
    assert outcome.healthy >= 4
    assert sum(outcome.hostile.values()) == COUNT


async def test_past_all_checks_into_the_engine(
    openvino_folder: Path, tokenizer: ChatTokenizer
) -> None:
    outcome = await storm_engine(openvino_folder, tokenizer, count=COUNT, seed=1)

    assert_nobody_was_harmed(outcome)
    assert outcome.hostile.keys() == {"InvalidInputError", "answered", "left"}


async def test_through_the_service(digest: str, artifact_root: Path, tmp_path: Path) -> None:
    outcome = await storm_service(digest, artifact_root, tmp_path, count=COUNT, seed=1)

    assert_nobody_was_harmed(outcome)
    assert outcome.hostile.keys() <= {*REFUSALS, "answered", "left"}
    assert outcome.hostile["answered"] > COUNT / 5
    assert outcome.hostile["INVALID_ARGUMENT"] > COUNT / 5
