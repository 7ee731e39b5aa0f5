"""What the runs of defaults.* say: each cell's gain over the base, and the shortfall of all."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.bench.defaults_cells import AUTO, CELLS, FIXED_RATES, SEEDS, Cell, Unit
from tests.bench.figures import RESAMPLES, Entry

PREFIX = "defaults."
SHORTFALL = f"{PREFIX}shortfall"
MOST_SHORTFALL = 0.04
TAILS = (0.025, 0.975)

Kept = Mapping[str, Mapping[str, Any]]
"""What is kept of each run, by the id of its unit."""
Marks = NDArray[np.float64]


@dataclass(frozen=True)
class CellRuns:
    """The runs of one cell that are there."""

    cell: Cell
    auto: Marks
    """(seeds, rows): 1 for a row that was answered rightly; of the seeds that are there."""
    base: Marks
    """(rows,)"""
    fixed: Mapping[float, Marks]
    """(rows,) by rate; those that are there."""
    learned: Sequence[bool]
    """What the runs of `auto` say of themselves."""
    chosen: Mapping[str, float]
    """By the first of them."""

    @classmethod
    def of(cls, cell: Cell, kept: Kept) -> "CellRuns | None":
        """Those of a cell; None while there is no run of `auto`."""
        found = [kept.get(Unit(cell, 0.0, seed).id) for seed in SEEDS]
        auto = [run for run in found if run is not None]
        if not auto:
            return None
        rates = {rate: kept.get(Unit(cell, rate, SEEDS[0]).id) for rate in FIXED_RATES[cell.way]}
        return cls(
            cell,
            np.array([_numbers(run["correct"]) for run in auto]),
            _numbers(auto[0]["base_correct"]),
            {rate: _numbers(run["correct"]) for rate, run in rates.items() if run is not None},
            [bool(run["learned"]) for run in auto],
            auto[0]["chosen"],
        )

    @property
    def has_all_seeds(self) -> bool:
        """Whether no run of `auto` is missing."""
        return len(self.auto) == len(SEEDS)

    @property
    def is_whole(self) -> bool:
        """Whether no run is missing."""
        return self.has_all_seeds and len(self.fixed) == len(FIXED_RATES[self.cell.way])

    @property
    def best(self) -> tuple[float, Marks]:
        """The fixed rate with the most right answers. Chosen by the rows that it is measured on, so
        that it looks better than it is, at the expense of `auto`."""
        return max(self.fixed.items(), key=lambda one: one[1].mean())


def entries(kept: Kept) -> list[Entry]:
    """Of each cell with a run of `auto`, and of all cells that are whole."""
    runs = [found for cell in CELLS if (found := CellRuns.of(cell, kept)) is not None]
    return [*map(_gain, runs), *_shortfall([one for one in runs if one.is_whole])]


def _gain(runs: CellRuns) -> Entry:
    generator = np.random.default_rng(0)
    auto, base = runs.auto.mean(), runs.base.mean()
    draws = [_resampled(runs.auto, runs.base, generator) for _ in range(RESAMPLES)]
    gains = np.quantile([ours - other for ours, other in draws], TAILS)
    ratios = np.quantile([ours / max(other, 1e-3) for ours, other in draws], TAILS)
    silent = sum(runs.learned) if gains[0] <= 0 else 0
    return Entry(
        id=f"{PREFIX}{runs.cell.name}",
        value=float(auto),
        unit="of test rows",
        against="base",
        ratio=float(auto / max(base, 1e-3)),
        goal="gain above 0, or says that it did not learn",
        met=silent == 0 if runs.has_all_seeds else None,
        ci95=(float(ratios[0]), float(ratios[1])),
        note=f"{_points(auto - base, gains)} points over the base's {base:.3f}; {len(runs.auto)} "
        f"of {len(SEEDS)} seeds: {_shares(runs.auto.mean(axis=1))}; {sum(runs.learned)} say that "
        f"they learned; {_choices(runs.chosen)}; fixed rates {_rates(runs.fixed)}",
    )


def _shortfall(runs: Sequence[CellRuns]) -> Iterator[Entry]:
    """Of `auto` to the best fixed rate of each cell, mean over the cells."""
    if not runs:
        return
    generator = np.random.default_rng(0)
    best = [one.best for one in runs]
    ours = np.mean([one.auto.mean() for one in runs])
    theirs = np.mean([marks.mean() for _, marks in best])
    draws = np.array(
        [
            np.mean(
                [
                    _resampled(one.auto, marks, generator)
                    for one, (_, marks) in zip(runs, best, strict=True)
                ],
                axis=0,
            )
            for _ in range(RESAMPLES // 5)
        ]
    )
    short = np.quantile(draws[:, 1] - draws[:, 0], TAILS)
    ratios = np.quantile(draws[:, 0] / draws[:, 1], TAILS)
    yield Entry(
        id=SHORTFALL,
        value=float(100 * (theirs - ours)),
        unit="points",
        against="best of five fixed rates",
        ratio=float(ours / theirs),
        goal=f"upper bound <= {100 * MOST_SHORTFALL:g} points, of all cells",
        met=bool(short[1] <= MOST_SHORTFALL) if len(runs) == len(CELLS) else None,
        ci95=(float(ratios[0]), float(ratios[1])),
        note=f"{_points(theirs - ours, short)} points, {len(runs)} of {len(CELLS)} cells; best "
        + ", ".join(f"{one.cell.name} {rate:g}" for one, (rate, _) in zip(runs, best, strict=True)),
    )


def _resampled(auto: Marks, other: Marks, generator: np.random.Generator) -> tuple[float, float]:
    """Means of both over the same rows drawn anew, and of `auto` over seeds drawn anew, too."""
    seeds, rows = auto.shape
    drawn = generator.integers(0, rows, rows)
    chosen = auto[generator.integers(0, seeds, seeds)]
    return float(chosen[:, drawn].mean()), float(other[drawn].mean())


def _numbers(marked: str) -> Marks:
    return np.array([float(mark) for mark in marked])


def _points(mean: float, bounds: Marks) -> str:
    low, high = (100 * bound for bound in bounds)
    return f"{100 * mean:+.1f} ({low:+.1f} .. {high:+.1f})"


def _shares(values: Marks) -> str:
    return ", ".join(f"{value:.3f}" for value in values)


def _choices(chosen: Mapping[str, float]) -> str:
    return f"{AUTO}: " + ", ".join(f"{name} {value:g}" for name, value in chosen.items())


def _rates(fixed: Mapping[float, Marks]) -> str:
    return ", ".join(f"{rate:g}: {marks.mean():.3f}" for rate, marks in fixed.items()) or "missing"
