"""`mill backup` and `mill restore`: an installation as a folder, and back."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bars

from modelmill_cli.interrupts import run_interruptible
from modelmill_cli.output import AsJson, print_done
from modelmill_cli.state_layout import LAYOUT
from modelmill_cli.tables import data_size

Folder = Annotated[
    Path, typer.Argument(metavar="FOLDER", file_okay=False, help="Folder of the backups.")
]


def backup(
    context: typer.Context,
    folder: Folder,
    keep: Annotated[
        int, typer.Option(min=1, help="Backups that the folder may have; older ones are deleted.")
    ] = 7,
    as_json: AsJson = False,
) -> None:
    """Back up streams, artifacts, keys and identities, also while Modelmill runs.

    A second backup into the same folder copies what is new. Whoever reads the folder can sign
    tokens.
    """
    # The client of the bus takes long to load, and few commands need it.
    from modelmill_cli.backup.folder import BackupFolder
    from modelmill_cli.backup.take_backup import take_backup

    with _shown() as shown:
        report = run_interruptible(
            take_backup(context.obj, BackupFolder(folder.resolve()), keep, shown)
        )
    words = (
        f"backup {report.id} in {report.path}: {report.messages:,} messages and"
        f" {report.artifacts:,} artifacts, {data_size(report.total_bytes)}, of which"
        f" {data_size(report.written_bytes)} were new; {report.seconds:.1f} s"
    )
    print_done(asdict(report), words, as_json=as_json)
    if report.warning:
        typer.echo(f"mill: {report.warning}", err=True)


def restore(
    context: typer.Context,
    folder: Folder,
    at: Annotated[str, typer.Option(help="Backup to restore; defaults to the newest.")] = "",
    check: Annotated[
        bool, typer.Option("--check", help="Verify the backup and restore nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Restore a backup into an empty state folder; then run `mill up`.

    Every content is verified before anything is written.
    """
    from modelmill_cli.backup.folder import BackupFolder
    from modelmill_cli.backup.restore_backup import restore_backup, verify_backup

    source = BackupFolder(folder.resolve())
    with _shown() as shown:
        if check:
            report = run_interruptible(verify_backup(source, at, shown))
        else:
            report = run_interruptible(restore_backup(source, context.obj, at, shown))
    then = "`mill up`" if report.state_layout == LAYOUT else "`mill state upgrade`, then `mill up`"
    done = "is whole" if check else f"is restored to {report.path}; run {then}"
    words = (
        f"backup {report.id} {done}: {report.messages:,} messages and {report.artifacts:,}"
        f" artifacts, {data_size(report.total_bytes)}; {report.seconds:.1f} s"
    )
    print_done(asdict(report), words, as_json=as_json)


class _ShownProgress:
    """One bar after the other, with rate and time remaining."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._task: TaskID | None = None

    def begin(self, what: str, total_bytes: int | None) -> None:
        if self._task is not None:
            self._bars.remove_task(self._task)
        self._task = self._bars.add_task(what, total=total_bytes)

    def advance(self, count: int) -> None:
        if self._task is not None:
            self._bars.advance(self._task, count)


@contextmanager
def _shown() -> Iterator[_ShownProgress]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        yield _ShownProgress(bars)
