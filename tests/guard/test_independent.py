"""The default policy sees through disguises that its author did not write, and harms nobody else.

A sample of what `python -m tests.guard.independent.measure` measures; goals are that module's.
"""

import pytest

from tests.guard.independent import chinese, latin
from tests.guard.independent.measure import FALSE_GOAL, false_positives, recall_of

SEED, EACH = 7, 100


@pytest.mark.parametrize("name", [*latin.CLASSES, *chinese.CLASSES])
def test_a_class_of_disguise_is_seen_through(name: str):
    found = recall_of(name, SEED, EACH)
    assert found.value >= found.goal, found.missed[:5]


@pytest.mark.tier("test")
def test_harmless_texts_pass():
    wrong = false_positives(SEED)
    assert len(wrong) <= FALSE_GOAL, wrong
