"""Downloads from model hubs into the state folder, with their progress on a console."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import typer
from modelmill_hub.address import HubAddress
from modelmill_hub.fetch import FetchedModel, FetchedTables, Fetcher
from modelmill_hub.hubs import open_hub
from modelmill_hub.transfer import DownloadProgress
from rich.console import Console

from modelmill_cli.job_words import duration_words
from modelmill_cli.state_folder import StateFolder, owner_only
from modelmill_cli.tables import megabytes, plain

FOLDER = "hub"


def downloads_of(state: StateFolder) -> Path:
    """Where downloads lie, whole ones and those that are to be continued."""
    return state.path / FOLDER


@dataclass(frozen=True)
class HubDownloads:
    """Downloads into one state folder.

    Attributes:
        is_stopped: Asked while bytes come.
    """

    state: StateFolder
    console: Console
    is_stopped: Callable[[], bool] = lambda: False

    def model(self, address: HubAddress) -> FetchedModel:
        """A model, whole; raises as `Fetcher.model`."""
        with self._telling(address) as fetcher:
            return fetcher.model(address)

    def tables(self, address: HubAddress) -> FetchedTables:
        """The Parquet files of a dataset; raises as `Fetcher.tables`."""
        with self._telling(address) as fetcher:
            return fetcher.tables(address)

    def forget(self, fetched: FetchedModel) -> None:
        """Delete a download whose content is in the store."""
        shutil.rmtree(fetched.folder, ignore_errors=True)

    @contextmanager
    def _telling(self, address: HubAddress) -> Iterator[Fetcher]:
        status = self.console.status("") if self.console.is_terminal else None
        last: list[DownloadProgress] = []

        def tell(progress: DownloadProgress) -> None:
            last[:] = [progress]
            if status is not None:
                status.update(plain(progress_words(progress)))
                status.start()

        try:
            with owner_only():
                yield Fetcher(open_hub(address), downloads_of(self.state), tell, self.is_stopped)
        except KeyboardInterrupt:
            typer.echo("stopped; what came is kept, and the same command continues", err=True)
            raise
        finally:
            if status is not None:
                status.stop()
        if last:
            self.console.print(
                plain(f"downloaded {address}: {megabytes(last[0].total_bytes)}"), soft_wrap=True
            )


def progress_words(progress: DownloadProgress) -> str:
    """One line of a download: file, bytes, rate and time remaining."""
    left = progress.seconds_left
    rest = f", {duration_words(left)} left" if left is not None else ""
    return (
        f"{progress.file}  {megabytes(progress.done_bytes)} of {megabytes(progress.total_bytes)},"
        f" {megabytes(progress.bytes_per_second)}/s{rest}"
    )
