"""Downloads from model hubs into the state folder, with their progress on a console."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any, TypeVar

import typer
from modelmill_hub.address import HubAddress
from modelmill_hub.fetch import FetchedModel, FetchedTables, Fetcher
from modelmill_hub.hubs import open_hub
from modelmill_hub.kept import KeptImports
from modelmill_hub.repository import Repository
from modelmill_hub.transfer import DownloadProgress
from rich.console import Console

from modelmill_cli.interrupts import interruptible
from modelmill_cli.job_words import duration_words
from modelmill_cli.state_folder import StateFolder, owner_only
from modelmill_cli.tables import data_size, plain

FOLDER = "hub"
Made = TypeVar("Made")


def downloads_of(state: StateFolder) -> Path:
    """Where downloads lie, whole ones and those that are to be continued."""
    return state.path / FOLDER


@dataclass(frozen=True)
class HubDownloads:
    """Downloads into one state folder.

    Attributes:
        stopped: Set to end a download that runs in another thread.
        begun: Set once a hub was asked for something.
    """

    state: StateFolder
    console: Console
    stopped: Event = field(default_factory=Event)
    begun: Event = field(default_factory=Event)

    def run(self, work: Coroutine[Any, Any, Made]) -> Made:
        """Run what downloads in a thread; Ctrl-C ends it, and what came is kept.

        Raises:
            Interrupted: A signal came.
        """

        def stop() -> None:
            self.stopped.set()
            kept = "what was downloaded is kept, " if self.begun.is_set() else ""
            typer.echo(f"stopping; {kept}nothing was imported", err=True)

        return asyncio.run(interruptible(work, stop))

    def model(self, address: HubAddress) -> FetchedModel:
        """A model, whole; raises as `Fetcher.model`."""
        with self._telling(address) as fetcher:
            return fetcher.model(address)

    def tables(self, address: HubAddress) -> FetchedTables:
        """The Parquet files of a dataset; raises as `Fetcher.tables`."""
        with self._telling(address) as fetcher:
            return fetcher.tables(address)

    def look_up(self, address: HubAddress) -> Repository:
        """A listing; of a commit that was asked for before without the network."""
        with owner_only():
            return self._fetcher(address).look_up(address)

    def imports(self, address: HubAddress, commit: str) -> KeptImports:
        """What a commit was imported as."""
        return KeptImports(downloads_of(self.state), address, commit)

    def _fetcher(
        self, address: HubAddress, tell: Callable[[DownloadProgress], None] = lambda _: None
    ) -> Fetcher:
        return Fetcher(open_hub(address), downloads_of(self.state), tell, self.stopped.is_set)

    @contextmanager
    def _telling(self, address: HubAddress) -> Iterator[Fetcher]:
        status = self.console.status("") if self.console.is_terminal else None
        last: list[DownloadProgress] = []

        def tell(progress: DownloadProgress) -> None:
            last[:] = [progress]
            if status is not None:
                status.update(plain(progress_words(progress)))
                status.start()

        self.begun.set()
        try:
            with owner_only():
                yield self._fetcher(address, tell)
        except KeyboardInterrupt:
            typer.echo("stopped; what came is kept, and the same command continues", err=True)
            raise
        finally:
            if status is not None:
                status.stop()
        if last:
            self.console.print(
                plain(f"downloaded {address}: {data_size(last[0].total_bytes)}"), soft_wrap=True
            )


def progress_words(progress: DownloadProgress) -> str:
    """One line of a download: file, bytes, rate and time remaining."""
    left = progress.seconds_left
    rest = f", {duration_words(left)} left" if left is not None else ""
    return (
        f"{progress.file}  {data_size(progress.done_bytes)} of {data_size(progress.total_bytes)},"
        f" {data_size(progress.bytes_per_second)}/s{rest}"
    )
