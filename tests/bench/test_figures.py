"""What the bench prints, and what it refuses to print or keep."""

import json
from pathlib import Path

import pytest
from rich.progress import Progress, TaskID

from tests.bench import serve
from tests.bench.figures import Entry, Goal, Rounds, Unmeasured
from tests.bench.harness import Run
from tests.bench.report import keep
from tests.run_record import NotWorthKeepingError

STEADY, UNSTEADY = [100.0, 101.0, 99.0, 100.0, 100.0], [100.0, 150.0, 70.0, 100.0, 130.0]


def rounds(ours: list[float], floor: list[float], *, enforce: bool = True) -> Rounds:
    series = {"ours": ours, "floor": floor}
    return Rounds(
        {name: [{"rate": one} for one in values] for name, values in series.items()},
        enforce=enforce,
    )


def line(measured: Rounds, goal: Goal | None = None):
    return measured.line("an.entry", "rate", unit="1/s", against="floor", goal=goal, note="")


def a_run(**changes):
    entries = [{"id": "a"}, {"id": "b"}, {"id": "c"}]
    return {"quick": False, "dirty": False, "entries": entries, "not_measured": []} | changes


def test_an_entry_is_the_median_and_the_paired_ratio_with_its_interval():
    entry = line(rounds([50.0, 50.5, 49.5, 60.0, 50.0], STEADY), Goal(0.4, at_least=True))
    assert isinstance(entry, Entry)
    assert (entry.value, entry.ratio, entry.met) == (50.0, 0.5, True)
    assert entry.ci95[0] <= entry.ratio <= entry.ci95[1]


def test_a_ratio_is_taken_within_a_round_so_that_a_slow_minute_falls_on_both_sides():
    drifting = [100.0, 105.0, 95.0, 103.0, 97.0]
    entry = line(rounds([one / 2 for one in drifting], drifting))
    assert isinstance(entry, Entry)
    assert entry.ci95 == (0.5, 0.5)


def test_an_entry_over_a_floor_that_varies_is_not_printed():
    refused = line(rounds(STEADY, UNSTEADY))
    assert isinstance(refused, Unmeasured)
    assert refused.reason.startswith("not measured: floor varies by 2")
    assert "saw 100 1/s, ratio 1 " in refused.reason


def test_a_quick_run_prints_it_and_says_so():
    entry = line(rounds(STEADY, UNSTEADY, enforce=False))
    assert isinstance(entry, Entry)
    assert entry.note.startswith("floor varies by 2")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"quick": True}, "quick"),
        ({"dirty": True}, "no commit"),
        ({"entries": [{"id": "a"}]}, "a lacks b"),
        ({"entries": [{"id": "a"}], "not_measured": [{"id": "b", "reason": "failed"}]}, "lacks b"),
    ],
)
def test_only_a_whole_group_of_a_commit_is_kept(tmp_path, changes, said):
    with pytest.raises(NotWorthKeepingError, match=said):
        keep(a_run(**changes), [["a", "b"]], tmp_path)
    assert not list(tmp_path.iterdir())


def test_each_group_has_a_file_of_its_own_and_one_that_was_not_measured_keeps_its_last(tmp_path):
    groups = [["a", "b"], ["c"]]
    assert keep(a_run(), groups, tmp_path) == ["a", "c"]

    assert keep(a_run(entries=[{"id": "c", "value": 2}]), groups, tmp_path) == ["c"]

    kept = {file.stem: json.loads(file.read_bytes())["entries"] for file in tmp_path.iterdir()}
    assert kept == {"a": [{"id": "a"}, {"id": "b"}], "c": [{"id": "c", "value": 2}]}


async def test_a_rival_that_is_not_installed_is_said_to_be_absent_and_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = Run(Progress(), TaskID(0), wanted=frozenset({"serve.vllm.8", "serve.llamacpp.1"}))

    lines = await serve.measure(run)

    assert [line.id for line in lines] == ["serve.vllm.8", "serve.llamacpp.1"]
    assert all(isinstance(line, Unmeasured) and line.is_absence for line in lines)
