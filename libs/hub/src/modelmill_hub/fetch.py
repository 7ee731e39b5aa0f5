"""Use cases: bring a model, or the tables of a dataset, from a hub into a folder of the caller."""

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from modelmill_service_kit.errors import PreconditionError

from modelmill_hub.address import HubAddress
from modelmill_hub.choice import Form, choose_model, choose_tables
from modelmill_hub.errors import HubUnreachableError, RemoteCodeError
from modelmill_hub.kept import folder_of, read_listing, write_listing
from modelmill_hub.repository import Hub, Repository
from modelmill_hub.transfer import DownloadProgress, Transfer

Made = TypeVar("Made")

MOST_LISTINGS = 4
CODE_KEYS = ("auto_map", "custom_pipelines", "auto_mapping", "trust_remote_code")
"""Keys by which loaders import code that a repository names."""


@dataclass(frozen=True)
class FetchedModel:
    """A model on this machine, not looked into yet."""

    folder: Path
    form: Form
    name: str
    source: str
    """The repository, without revision."""
    commit: str
    licence: str

    @property
    def origin(self) -> dict[str, str]:
        """As a manifest keeps it."""
        licence = {"licence": self.licence} if self.licence else {}
        return {"source": self.source, "revision": self.commit, **licence}


@dataclass(frozen=True)
class FetchedTables:
    """Parquet files of a dataset on this machine."""

    files: tuple[Path, ...]
    source: str
    commit: str
    licence: str


@dataclass(frozen=True)
class Fetcher:
    """Downloads below one folder, which is the caller's alone.

    What is not whole stays there under the repository's name and commit, and is continued by the
    next call. One process at a time works on a repository.
    """

    hub: Hub
    root: Path
    tell: Callable[[DownloadProgress], None] = lambda _: None
    is_stopped: Callable[[], bool] = lambda: False
    wait: Callable[[float], None] = time.sleep

    def model(self, address: HubAddress) -> FetchedModel:
        """A model, an adapter or a GGUF file.

        Raises:
            HostileRepositoryError: It is refused, by the listing or by what came.
            DomainError: As `Hub.look_up` and `Transfer` say.
        """
        _require_kind(address, "model")
        repository = self.look_up(address)
        chosen = choose_model(repository)
        with self._folder(repository) as folder:
            transfer = self._transfer(repository, folder)
            every = (*chosen.small, *chosen.weights)
            transfer(chosen.small, of=every)
            _refuse_code(folder, [each.path for each in chosen.small])
            transfer(every)
        return FetchedModel(
            folder=folder,
            form=chosen.form,
            name=address.name,
            source=address.source,
            commit=repository.commit,
            licence=repository.licence,
        )

    def tables(self, address: HubAddress) -> FetchedTables:
        """The Parquet files of a dataset; raises as `model`."""
        _require_kind(address, "dataset")
        repository = self.look_up(address)
        chosen = choose_tables(repository)
        with self._folder(repository) as folder:
            self._transfer(repository, folder)(chosen)
        files = tuple(folder / each.path for each in chosen)
        return FetchedTables(files, address.source, repository.commit, repository.licence)

    def look_up(self, address: HubAddress) -> Repository:
        """The listing; a cut is tried again. That of a commit is kept, and not asked for twice."""
        if address.is_commit and (known := read_listing(self.root, address)):
            return known
        repository = self._asked(address)
        write_listing(self.root, repository)
        return repository

    def _asked(self, address: HubAddress) -> Repository:
        for tried in range(MOST_LISTINGS):
            try:
                return self.hub.look_up(address)
            except HubUnreachableError:
                if tried == MOST_LISTINGS - 1:
                    raise
                self.wait(2.0 ** (tried - 1))
        raise AssertionError("the last try raises")

    def _transfer(self, repository: Repository, folder: Path) -> Transfer:
        return Transfer(self.hub, repository, folder, self.tell, self.is_stopped, self.wait)

    @contextmanager
    def _folder(self, repository: Repository) -> Iterator[Path]:
        """Where the repository's files lie, held against other processes."""
        folder = folder_of(self.root, repository.address, repository.commit)
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(folder.with_name(f"{folder.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise PreconditionError(
                    f"another process downloads {repository.address} to {folder}. Wait for it,"
                    " then repeat"
                ) from None
            yield folder
        finally:
            os.close(lock)


def _require_kind(address: HubAddress, kind: str) -> None:
    if address.kind != kind:
        other = "hf://datasets/org/name" if kind == "dataset" else "hf://org/name"
        raise PreconditionError(f"{address} is a {address.kind}. Give a {kind}, as in {other}")


def _refuse_code(folder: Path, paths: list[str]) -> None:
    """Refuse a repository whose configuration names code, before its weights come.

    What is no JSON at all is refused by the import, which says where.
    """
    problems = []
    for path in paths:
        if not path.endswith(".json"):
            continue
        try:
            document = json.loads((folder / path).read_bytes())
        except (ValueError, RecursionError):
            continue
        problems += [
            f"{path} has {key}, which makes a loader run code of the repository. Give a revision"
            " that transformers loads without"
            for key in CODE_KEYS
            if isinstance(document, dict) and _is_set(document.get(key))
        ]
    if problems:
        raise RemoteCodeError(problems)


def _is_set(value: Any) -> bool:
    return value not in (None, False)
