"""A run passes, and is kept, only if it is whole, kept every promise, and its control broke one."""

from dataclasses import replace

import pytest

from tests.chaos.fsyncs import Fsyncs
from tests.chaos.leader_kills import LeaderKills
from tests.chaos.one_key import OneKey
from tests.chaos.oracle import Verdict
from tests.chaos.report import SEEDS, Report
from tests.chaos.seed_run import SeedRun
from tests.chaos.step_kills import ModeKills, StepKills
from tests.chaos.training import Trained, Training
from tests.chaos.watchers import Watched, Watchers

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
LEADERS = LeaderKills(
    acked=10_000,
    lost=0,
    doubled=0,
    kills=6,
    leaders=3,
    asked_again=200,
    longest_gap_seconds=8.0,
    median_gap_seconds=6.0,
    acked_a_second=200.0,
)
SAW_ALL = Watched("HTTP", connections=56, stored=281, seen=281, missed=0, doubled=0, in_order=True)
WATCHERS = Watchers(cuts=50, gateway_kills=5, worker_kills=2, clients=[SAW_ALL])
TRAINED = Trained("lora", steps=100, attempts=4, same_weights=True, same_losses=True)
TRAINING = Training({"kill": 12}, [TRAINED], VERDICT, 3, 20.0, 180.0)
STEP_KILLS = StepKills(20, [ModeKills("plain", 40, 40, 40)])


def report(**changes: object) -> Report:
    whole = Report(
        [GOOD] * SEEDS,
        control=BAD,
        one_key=ONE_KEY,
        fsyncs=Fsyncs(100, 100),
        leader_kills=LEADERS,
        watchers=WATCHERS,
        training=TRAINING,
        step_kills=STEP_KILLS,
    )
    return replace(whole, **changes)


def watchers(**changes: object) -> Watchers:
    return replace(WATCHERS, clients=[SAW_ALL, replace(SAW_ALL, **changes)])


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
        ({"given_up": {"watchers": "TimeoutError"}}, "watchers was given up"),
        ({"leader_kills": replace(LEADERS, lost=1)}, "leader kills"),
        ({"leader_kills": replace(LEADERS, doubled=1)}, "leader kills"),
        ({"watchers": watchers(missed=1)}, "watchers"),
        ({"watchers": watchers(doubled=1)}, "watchers"),
        ({"watchers": watchers(seen=282)}, "watchers"),
        ({"watchers": watchers(in_order=False)}, "watchers"),
        ({"training": replace(TRAINING, verdict=replace(VERDICT, doubled=1))}, "training"),
        ({"training": replace(TRAINING, verdict=replace(VERDICT, wrong_artifacts=1))}, "training"),
        ({"step_kills": StepKills(20, [ModeKills("plain", 40, 40, 39)])}, "a kill at each step"),
        ({"step_kills": StepKills(20, [ModeKills("plain", 40, 39, 40)])}, "a kill at each step"),
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
        {"step_kills": None},
        {"fsyncs": None},
        {"fsyncs": Fsyncs(0, 0, "strace is not installed")},
        {"leader_kills": None},
        {"leader_kills": replace(LEADERS, acked=9_999)},
        {"leader_kills": replace(LEADERS, kills=2)},
        {"watchers": None},
        {"watchers": replace(WATCHERS, cuts=49)},
        {"watchers": replace(WATCHERS, gateway_kills=4)},
        {"training": None},
        {"training": replace(TRAINING, faults={"kill": 9})},
    ],
)
def test_what_was_not_measured_breaks_nothing_but_is_missing(changes: dict[str, object]):
    assert report(**changes).broken_promises() == []
    assert len(report(**changes).gaps()) == 1
