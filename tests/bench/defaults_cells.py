"""What defaults.* trains: cells, and the runs of each."""

from dataclasses import dataclass

from modelmill_trainer.domain.methods import ANSWERS, DPO, FULL, LORA, PREFIX

from tests.bench.prep_rows import NOUNS, REVIEWS, Kind

CORPORA: dict[str, Kind] = {"wordnet_nouns": NOUNS, "reviews_zh": REVIEWS}
AUTO = "auto"
SEEDS = (1, 2, 3)
"""Of `auto`; the fixed rates have the first."""
FIXED_RATES: dict[str, tuple[float, ...]] = {
    LORA: (3e-4, 6e-4, 1.2e-3, 2.4e-3, 4.8e-3),
    FULL: (1e-5, 3e-5, 1e-4, 3e-4, 1e-3),
    PREFIX: (1e-3, 3e-3, 1e-2, 3e-2, 1e-1),
    DPO: (3e-5, 1e-4, 3e-4, 1e-3, 3e-3),
}
"""Each with the epochs and the batch size that `auto` chooses."""


@dataclass(frozen=True)
class Cell:
    """One way to train on one corpus."""

    corpus: str
    way: str
    """A method; or DPO, which is LoRA's."""
    rows: int
    """Of train."""

    @property
    def name(self) -> str:
        """For ids."""
        return f"{self.corpus}.{self.way}.{self.rows}"

    @property
    def method(self) -> str:
        """Which weights change."""
        return LORA if self.way == DPO else self.way

    @property
    def objective(self) -> str:
        """What becomes smaller."""
        return DPO if self.way == DPO else ANSWERS


CELLS: tuple[Cell, ...] = tuple(
    Cell(corpus, way, rows)
    for rows, ways in ((300, (LORA, FULL)), (1_000, (DPO, PREFIX)), (3_000, (LORA, FULL)))
    for corpus in CORPORA
    for way in ways
)
"""As entries name them."""


@dataclass(frozen=True)
class Unit:
    """One run: trained and scored."""

    cell: Cell
    rate: float
    """Peak learning rate; 0 for the one that `auto` chooses."""
    seed: int

    @property
    def id(self) -> str:
        """What its result is kept under."""
        return f"{self.cell.name}/{f'{self.rate:g}' if self.rate else AUTO}/{self.seed}"


PASSES = {300: 3, 1_000: 2, 3_000: 2}
"""Epochs that `auto` chooses, by rows."""
LENGTHS = {"wordnet_nouns": 1.0, "reviews_zh": 1.5}
"""Of a row, in nouns'."""
COSTS = {LORA: 1.0, PREFIX: 1.5, DPO: 2.0, FULL: 2.0}
"""Of a row that is learned, in one of LoRA's: measured alone, but for a prefix."""
EXAM_ROWS = 1_000
"""Rows that are learned in the time that the test rows are answered in."""
LONG_ROWS = 3_000
"""Of these cells the first plan has no fixed rates."""


def work(unit: Unit) -> float:
    """What a run takes, in nouns that LoRA learns once."""
    cell = unit.cell
    learned = PASSES[cell.rows] * cell.rows * COSTS[cell.way]
    return LENGTHS[cell.corpus] * (learned + EXAM_ROWS)


def is_of_first_plan(unit: Unit) -> bool:
    """Whether a run is of the part that tells the most for its time: all of the short cells, and
    `auto` in the long ones, with one seed where all weights learn."""
    if unit.cell.rows < LONG_ROWS:
        return True
    return not unit.rate and (unit.cell.way != FULL or unit.seed == SEEDS[0])


def is_named(unit_id: str, name: str) -> bool:
    """Whether `name` is that of a run or of its cell."""
    return f"{unit_id}/".startswith(f"{name}/")


def units() -> list[Unit]:
    """All runs: those of the first plan first, in it the quickest, and in a cell `auto`."""
    every = [
        Unit(cell, rate, seed)
        for cell in CELLS
        for rate, seed in (
            *((0.0, seed) for seed in SEEDS),
            *((rate, SEEDS[0]) for rate in FIXED_RATES[cell.way]),
        )
    ]
    return sorted(every, key=lambda unit: (not is_of_first_plan(unit), work(unit)))
