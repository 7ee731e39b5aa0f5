"""A run passes, and is kept, only if it is whole, kept every promise, and its control broke one."""

from dataclasses import replace

import pytest

from tests.chaos.fsyncs import Fsyncs
from tests.chaos.one_key import OneKey
from tests.chaos.oracle import Verdict
from tests.chaos.report import SEEDS, Report
from tests.chaos.seed_run import SeedRun

VERDICT = Verdict(
    accepted=40,
    lost=0,
    doubled=0,
    wrong_artifacts=0,
    zombies_accepted=0,
    illegal=0,
    wrong_versions=0,
    set_back=0,
    takeovers=20,
)
GOOD = SeedRun(1, {"kill": 50}, VERDICT, 7, 5.0, 50.0)
BAD = replace(GOOD, verdict=replace(VERDICT, zombies_accepted=3))
ONE_KEY = OneKey(
    callers=200, accepted=200, unanswered=160, cut_off=100, jobs_named=1, jobs_stored=1
)


def report(**changes: object) -> Report:
    whole = Report([GOOD] * SEEDS, control=BAD, one_key=ONE_KEY, fsyncs=Fsyncs(100, 100))
    return replace(whole, **changes)


def test_a_whole_run_whose_control_failed_breaks_nothing_and_lacks_nothing():
    assert report().broken_promises() == []
    assert report().gaps() == []


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"seeds": [GOOD, BAD]}, "seed 1: zombies accepted: 3"),
        ({"control": GOOD}, "control"),
        ({"control": replace(GOOD, verdict=replace(VERDICT, lost=1))}, "control"),
        ({"one_key": replace(ONE_KEY, jobs_stored=2)}, "one key"),
        ({"one_key": replace(ONE_KEY, accepted=199)}, "one key"),
        ({"one_key": replace(ONE_KEY, unanswered=0)}, "one key"),
        ({"fsyncs": Fsyncs(100, 99)}, "99 fsyncs"),
    ],
)
def test_each_broken_promise_is_a_line(changes: dict[str, object], word: str):
    (line,) = report(**changes).broken_promises()
    assert word in line


@pytest.mark.parametrize(
    "changes",
    [
        {"seeds": [GOOD] * (SEEDS - 1)},
        {"control": None},
        {"one_key": None},
        {"fsyncs": None},
        {"fsyncs": Fsyncs(0, 0, "strace is not installed")},
    ],
)
def test_what_was_not_measured_breaks_nothing_but_is_missing(changes: dict[str, object]):
    assert report(**changes).broken_promises() == []
    assert len(report(**changes).gaps()) == 1
