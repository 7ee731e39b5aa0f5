"""What defaults.* trains: cells, and the runs of each."""

from collections.abc import Iterator
from dataclasses import dataclass

from trainer.domain.methods import ANSWERS, DPO, FULL, LORA, PREFIX

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
"""The short ones first."""


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


def units() -> Iterator[Unit]:
    """All of them: the short cells first and, in a cell, `auto` first."""
    for cell in CELLS:
        yield from (Unit(cell, 0.0, seed) for seed in SEEDS)
        yield from (Unit(cell, rate, SEEDS[0]) for rate in FIXED_RATES[cell.way])
