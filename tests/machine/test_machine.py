"""A short run of `python -m tests.machine`: nothing is broken, and the control is."""

import time

import pytest

from tests.machine.exploring import explore, summary

EXAMPLES, STEPS = 60, 30
CONTROL_EXAMPLES = 120


@pytest.mark.tier("test")
@pytest.mark.timeout(180)
def test_whatever_is_struck_between_two_awaits_every_promise_is_kept(capsys):
    began = time.monotonic()
    found = explore(examples=EXAMPLES, steps=STEPS, fixed=True)
    with capsys.disabled():
        print(f"\n{summary(found, time.monotonic() - began)}")

    assert found.violation == ""
    assert found.totals["examples"] >= EXAMPLES
    for fault in ("crashes", "freezes", "lost answers", "cuts", "broker kills"):
        assert found.totals[fault] > 0, fault


@pytest.mark.tier("test")
@pytest.mark.timeout(180)
def test_without_compare_and_set_a_promise_is_seen_broken():
    found = explore(
        examples=CONTROL_EXAMPLES, steps=STEPS, fixed=True, not_compared=True, shrink=False
    )

    assert found.violation != ""
    assert found.totals["examples"] <= CONTROL_EXAMPLES
