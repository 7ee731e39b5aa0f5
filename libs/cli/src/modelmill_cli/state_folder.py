"""The state folder of an instance: bus, artifacts, keys, traces."""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import TextIO

from modelmill_service_kit.bus_access import SEED_SUFFIX, NkeySeed
from modelmill_service_kit.errors import PreconditionError

from modelmill_cli.errors import folder_error
from modelmill_cli.prometheus_files import CONFIG, TARGETS, prometheus_files
from modelmill_cli.state_layout import LAYOUT, UNSAID, StateLayout, read_layout, write_layout

DEFAULT_STATE_FOLDER = Path(".modelmill")


@dataclass(frozen=True)
class Runtime:
    """What a running `mill up` is reached by; written for its owner alone, gone when it ends."""

    pid: int
    http_url: str
    nats_url: str
    nats_seeds: str
    """Folder with the identities of the bus."""
    service_secret: str
    artifact_root: str
    grpc_ports: dict[str, int]
    metrics_ports: dict[str, int]
    pids: dict[str, int]
    layout: int = 0
    """0: of a mill that did not say."""

    @classmethod
    def parse(cls, text: str) -> "Runtime":
        """What a mill of any version wrote."""
        known = {each.name for each in fields(cls)}
        return cls(**{name: value for name, value in json.loads(text).items() if name in known})

    def identity(self, name: str) -> NkeySeed:
        """What somebody shows the broker."""
        return NkeySeed(Path(self.nats_seeds) / f"{name}{SEED_SUFFIX}")


@dataclass(frozen=True)
class StateFolder:
    """Paths inside the state folder; `path` is absolute."""

    path: Path

    @property
    def mark(self) -> str:
        """All processes that work on this folder run under it (see
        `modelmill_service_kit.endings`)."""
        return hashlib.sha256(os.fsencode(self.path.resolve())).hexdigest()[:32]

    @property
    def artifacts(self) -> Path:
        return self.path / "artifacts"

    @property
    def artifact_root(self) -> str:
        """Folder or URL where the last `mill up` kept artifacts, also when it has ended."""
        try:
            return self._elsewhere.read_text()
        except FileNotFoundError:
            return str(self.artifacts)

    @property
    def _elsewhere(self) -> Path:
        """There when artifacts are kept out of this folder, which may be moved as a whole."""
        return self.path / "artifact-root"

    @property
    def artifact_cache(self) -> Path:
        """For copies of what a bucket holds, when artifacts are kept in one."""
        return self.path / "artifact-cache"

    @property
    def bus(self) -> Path:
        return self.path / "nats"

    @property
    def bus_identities(self) -> Path:
        return self.path / "bus-identities"

    @property
    def keys(self) -> Path:
        return self.path / "keys"

    @property
    def certificates(self) -> Path:
        return self.path / "certificates"

    @property
    def work(self) -> Path:
        return self.path / "work"

    @property
    def service_secret_file(self) -> Path:
        """What services show each other; for as long as an instance runs."""
        return self.path / "run" / "service-secret"

    @property
    def otlp_token_file(self) -> Path:
        """What services show the receiver of traces; for as long as an instance runs."""
        return self.path / "run" / "otlp-token"

    @property
    def spans(self) -> Path:
        return self.path / "traces" / "spans.jsonl"

    @property
    def runtime_file(self) -> Path:
        return self.path / "run" / "runtime.json"

    @property
    def console_page(self) -> Path:
        """Page that leads a browser to the web console, signed in; its owner's alone."""
        return self.path / "run" / "console.html"

    @property
    def orders(self) -> Path:
        """Socket at which the instance takes orders of its owner."""
        return self.path / "run" / "orders.sock"

    @property
    def layout_file(self) -> Path:
        """Says which layout the folder has."""
        return self.path / "layout.json"

    @property
    def unfinished_restore(self) -> Path:
        """There while a restore fills the folder, and after one that was killed."""
        return self.path / "unfinished-restore"

    def layout(self) -> StateLayout:
        """What it says of its layout; one in which nothing has run has ours.

        Raises:
            PreconditionError: what it says is damaged.
        """
        used = self.bus.is_dir() and any(self.bus.iterdir())
        return read_layout(self.layout_file) or StateLayout(UNSAID if used else LAYOUT)

    @contextmanager
    def locked(self, layouts: range = range(LAYOUT, LAYOUT + 1)) -> Iterator[None]:
        """Hold the folder for this process; the kernel lets go of it when the process ends.

        Args:
            layouts: which the folder may have.

        Raises:
            PreconditionError: another process holds it, it cannot be made or written, a restore
                into it was not finished, or it has another layout.
        """
        with owner_only(), self._opened_lock() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise PreconditionError(
                    f"{self.path} is in use by {_holder(lock)}. Stop that one or give --state"
                    " another folder"
                ) from None
            if self.unfinished_restore.exists():
                raise PreconditionError(
                    f"a restore into {self.path} was not finished. Delete that folder and repeat"
                    " `mill restore`"
                )
            self._see_to_layout(layouts)
            self._forget_instance()  # of a mill that was killed
            self._sign(lock)
            try:
                yield
            finally:
                self._forget_instance()

    def _opened_lock(self) -> TextIO:
        try:
            self._make_folders()
            lock = (self.path / "lock").open("a+")
            os.fchmod(lock.fileno(), 0o600)  # one of an older version
        except OSError as error:
            raise folder_error(self.path, error) from error
        return lock

    def _see_to_layout(self, layouts: range) -> None:
        found = self.layout()
        if problem := found.problem(self.path, layouts):
            raise PreconditionError(". ".join(problem))
        if found.layout == LAYOUT and not self.layout_file.exists():
            try:
                write_layout(self.layout_file, LAYOUT)
            except OSError as error:
                raise folder_error(self.path, error) from error

    def _forget_instance(self) -> None:
        secrets = (self.service_secret_file, self.otlp_token_file)
        scraped = (self.runtime_file.with_name(name) for name in (CONFIG, TARGETS))
        for file in (self.runtime_file, self.console_page, self.orders, *secrets, *scraped):
            file.unlink(missing_ok=True)

    def _make_folders(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        parts = (self.artifacts, self.bus, self.keys, self.work)
        for part in (*parts, self.spans.parent, self.runtime_file.parent):
            part.mkdir(exist_ok=True, mode=0o700)

    def _sign(self, lock: TextIO) -> None:
        """Say in the lock who holds it, for whoever finds it held."""
        try:
            lock.truncate(0)
            lock.write(f"{os.getpid()} {datetime.now().astimezone():%Y-%m-%d %H:%M:%S}")
            lock.flush()
        except OSError as error:
            raise folder_error(self.path, error) from error

    def write_runtime(self, runtime: Runtime) -> None:
        """Publish how to reach this instance, readable by its owner alone; remember its store."""
        if runtime.artifact_root == str(self.artifacts):
            self._elsewhere.unlink(missing_ok=True)
        else:
            write_private(self._elsewhere, runtime.artifact_root.encode())
        for file, content in prometheus_files(
            self.runtime_file.parent,
            self.service_secret_file,
            runtime.http_url,
            runtime.metrics_ports,
        ).items():
            write_private(file, content)
        write_private(self.runtime_file, json.dumps(asdict(runtime), indent=1).encode())

    def read_runtime(self) -> Runtime:
        """Where the running instance is.

        Raises:
            PreconditionError: none runs on this folder.
        """
        try:
            runtime = Runtime.parse(self.runtime_file.read_text())
            os.kill(runtime.pid, 0)
        except (FileNotFoundError, NotADirectoryError, ProcessLookupError):
            raise PreconditionError(
                f"nothing runs on {self.path}. Start it with `mill up`, or name its folder:"
                " `mill --state FOLDER ...`"
            ) from None
        return runtime


def _holder(lock: TextIO) -> str:
    lock.seek(0)
    pid, _, since = lock.read(100).partition(" ")
    # Nothing is in it yet in the moment after it was taken.
    return f"mill (pid {pid}, since {since})" if since else "another mill"


@contextmanager
def owner_only() -> Iterator[None]:
    """Files and folders that this process and its children make are their owner's alone."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def write_private(path: Path, content: bytes) -> None:
    """Write `content` so that only the owner can read it, at no moment otherwise."""
    _write_whole(path, content, 0o600)


def write_public(path: Path, content: bytes) -> None:
    """Write `content` so that anybody who reaches the folder can read it."""
    _write_whole(path, content, 0o644)


def _write_whole(path: Path, content: bytes, mode: int) -> None:
    """A reader sees the old content or the new one; a failure leaves the old one."""
    temporary = path.with_suffix(f"{path.suffix}.{os.getpid()}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)  # also when the umask is narrower
            file.write(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
