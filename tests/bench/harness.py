"""Interleaved rounds of ours, a rival and the floor, with a clock for who waits."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.progress import Progress, TaskID

from tests.bench.figures import Figures, Line, Rounds

FULL_ROUNDS = 7
QUICK_ROUNDS = 2
FEWEST_ROUNDS = 5
"""Below this an interval says nothing; only a quick run has fewer."""
MORE_ROUNDS = 1.5
"""By how much a second try is longer, after a floor that varied too much."""
WORK_FOLDER = Path("build/bench")
"""What is made once (the model) and logs."""

Measure = Callable[[], Awaitable[Figures]]


@dataclass
class Run:
    """One run of the suite: how thorough it is, what was asked for, and its progress bar."""

    progress: Progress
    task: TaskID
    rounds: int = FULL_ROUNDS
    quick: bool = False
    wanted: frozenset[str] = frozenset()
    """Ids to be measured."""
    spent: float = field(default=0.0, init=False)
    """Of the bar, in expected seconds."""

    def pick(self, full: int, quick: int) -> int:
        """How much load: `quick` only shows that it works."""
        return quick if self.quick else full

    def say(self, what: str) -> None:
        """Name what goes on, beside the bar."""
        self.progress.update(self.task, description=what)

    async def interleaved(
        self,
        title: str,
        contestants: Mapping[str, Measure],
        *,
        seconds: float,
        steady: Sequence[str],
        rounds: int | None = None,
    ) -> Rounds:
        """Each contestant once a round, in turn; the first round warms up and is dropped.

        Args:
            contestants: "ours", "floor", and rivals by name.
            seconds: what a full run of this is expected to take; moves the bar.
            steady: figures in which the floor must not vary; if it does, all is measured once more,
                with more rounds.
            rounds: how many count, where the run's own number would take too long.
        """
        count = self.rounds if rounds is None else rounds
        measured = await self._rounds(title, contestants, count, seconds)
        if not self.quick and measured.is_unsteady(steady):
            again = round(count * MORE_ROUNDS)
            title = f"{title}, again: the floor varied"
            measured = await self._rounds(title, contestants, again, 0.0)
        return measured

    async def _rounds(
        self, title: str, contestants: Mapping[str, Measure], count: int, seconds: float
    ) -> Rounds:
        turns: dict[str, list[Figures]] = {name: [] for name in contestants}
        share = seconds / (count + 1) / len(contestants)
        for number in range(count + 1):
            for name, measure in contestants.items():
                self.say(f"{title}: {name}, round {number} of {count}")
                figures = await measure()
                if number:
                    turns[name].append(figures)
                self.spent += share
                self.progress.update(self.task, completed=self.spent)
        return Rounds(turns, enforce=not self.quick)


@dataclass(frozen=True)
class Group:
    """Entries that are measured together."""

    ids: tuple[str, ...]
    measure: Callable[[Run], Awaitable[list[Line]]]
    seconds: float
    """About what it takes in a full run, preparations included."""
