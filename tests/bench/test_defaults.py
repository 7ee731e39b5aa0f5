"""What defaults.* makes of the runs that it kept."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.bench import defaults_figures
from tests.bench.defaults_cells import (
    CELLS,
    FIXED_RATES,
    SEEDS,
    Unit,
    is_named,
    is_of_first_plan,
    units,
    work,
)
from tests.bench.defaults_figures import SHORTFALL, entries
from tests.bench.defaults_unit import TEST_ROWS, VALID_ROWS, Corpus, write_dataset
from tests.bench.figures import Entry

ROWS = 100
CELL = CELLS[0]


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked of intervals here is beyond doubt; how exact they are is asked elsewhere."""
    monkeypatch.setattr(defaults_figures, "RESAMPLES", 500)


def run(right: int, base: int = 20, *, learned: bool = True) -> dict[str, Any]:
    return {
        "correct": "1" * right + "0" * (ROWS - right),
        "base_correct": "1" * base + "0" * (ROWS - base),
        "learned": learned,
        "chosen": {"learning_rate": 1e-3},
    }


def auto(*rights: int, learned: bool = True) -> dict[str, Any]:
    return {
        Unit(CELL, 0.0, seed).id: run(right, learned=learned)
        for seed, right in zip(SEEDS, rights, strict=True)
    }


def fixed(best: int) -> dict[str, Any]:
    rates = FIXED_RATES[CELL.way]
    return {Unit(CELL, rate, SEEDS[0]).id: run(best - at) for at, rate in enumerate(rates)}


def by_id(kept: dict[str, Any]) -> dict[str, Entry]:
    return {entry.id: entry for entry in entries(kept)}


def test_every_run_has_an_id_of_its_own_and_quick_runs_of_the_first_plan_come_first() -> None:
    all_units = units()
    planned = [is_of_first_plan(unit) for unit in all_units]

    assert len({unit.id for unit in all_units}) == len(all_units) == 12 * (3 + 5)
    assert planned == sorted(planned, reverse=True)
    assert sum(planned) == 8 * (3 + 5) + 2 * 3 + 2
    for part in (True, False):
        costs = [work(unit) for unit in all_units if is_of_first_plan(unit) is part]
        assert costs == sorted(costs)


def test_each_row_of_a_dpo_cell_has_a_wrong_label_as_its_worse_answer(tmp_path: Path) -> None:
    labels = ("act", "food", "plant")
    row = {"messages": [{"role": "user", "content": "w"}, {"role": "assistant", "content": "act"}]}
    for split in ("train", "valid", "test"):
        (tmp_path / f"{split}.jsonl").write_text((json.dumps(row) + "\n") * 1_000)
    [cell] = [cell for cell in CELLS if cell.name == "wordnet_nouns.dpo.1000"]

    made = write_dataset(cell, Corpus(tmp_path, labels), tmp_path / "cell")

    for split, rows in (("train", cell.rows), ("valid", VALID_ROWS), ("test", TEST_ROWS)):
        lines = (made / f"{split}.jsonl").read_text().splitlines()
        pairs = [json.loads(line) for line in lines]
        assert len(pairs) == rows
        assert {pair["rejected"] for pair in pairs} == {"food", "plant"}


def test_a_name_is_that_of_a_run_or_of_all_runs_of_its_cell() -> None:
    run_of_long = Unit(CELLS[-1], 0.0, 1)
    named = [unit for unit in units() if is_named(unit.id, CELL.name)]

    assert [unit.cell for unit in named] == [CELL] * 8
    assert [unit for unit in units() if is_named(unit.id, run_of_long.id)] == [run_of_long]


def test_a_cell_meets_its_goal_by_a_gain_or_by_saying_that_there_is_none() -> None:
    name = f"defaults.{CELL.name}"

    gained = by_id(auto(60, 62, 64))[name]
    assert gained.met
    assert gained.value == 0.62
    assert gained.ci95[0] > 1
    assert "+42.0 (" in gained.note
    assert by_id(auto(20, 20, 20, learned=False))[name].met
    assert not by_id(auto(20, 20, 20, learned=True))[name].met


def test_a_cell_counts_for_the_shortfall_once_all_its_rates_are_there() -> None:
    assert SHORTFALL not in by_id(auto(60, 62, 64))
    missing = fixed(70)
    missing.popitem()
    assert SHORTFALL not in by_id(auto(60, 62, 64) | missing)

    behind = by_id(auto(60, 62, 64) | fixed(70))[SHORTFALL]
    ahead = by_id(auto(70, 72, 74) | fixed(62))[SHORTFALL]

    assert round(behind.value, 6) == 8
    assert round(ahead.value, 6) == -10
    assert "1 of 12 cells" in ahead.note
    # Of one cell alone nothing can be said of all.
    assert behind.met is ahead.met is None
    assert by_id(everywhere(auto(70, 72, 74) | fixed(62)))[SHORTFALL].met
    assert by_id(everywhere(auto(60, 62, 64) | fixed(70)))[SHORTFALL].met is False


def everywhere(kept: dict[str, Any]) -> dict[str, Any]:
    """The same runs in every cell; its rates are by their order."""
    found = {}
    for cell in CELLS:
        rates = dict(zip(FIXED_RATES[CELL.way], FIXED_RATES[cell.way], strict=True))
        for seed in SEEDS:
            found[Unit(cell, 0.0, seed).id] = kept[Unit(CELL, 0.0, seed).id]
        for ours, theirs in rates.items():
            found[Unit(cell, theirs, SEEDS[0]).id] = kept[Unit(CELL, ours, SEEDS[0]).id]
    return found


def test_a_cell_with_a_seed_missing_says_so_and_not_whether_its_goal_is_met() -> None:
    kept = auto(60, 62, 64)
    kept.popitem()

    [entry] = entries(kept)

    assert entry.met is None
    assert "2 of 3 seeds: 0.600, 0.620" in entry.note
    assert SHORTFALL not in by_id(kept | fixed(70))
    assert entries(fixed(70)) == []
