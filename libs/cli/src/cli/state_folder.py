"""The one folder in which a machine's Modelmill lives: bus, artifacts, keys, traces."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from service_kit.errors import PreconditionError

DEFAULT_STATE_FOLDER = Path(".modelmill")


@dataclass(frozen=True)
class Runtime:
    """What a running `mill up` is reached by; written for its owner alone, gone when it ends."""

    pid: int
    http_url: str
    nats_url: str
    nats_token: str
    service_secret: str
    grpc_ports: dict[str, int]
    metrics_ports: dict[str, int]
    pids: dict[str, int]


@dataclass(frozen=True)
class StateFolder:
    """Paths inside the state folder; `path` is absolute."""

    path: Path

    @property
    def artifacts(self) -> Path:
        return self.path / "artifacts"

    @property
    def bus(self) -> Path:
        return self.path / "nats"

    @property
    def keys(self) -> Path:
        return self.path / "keys"

    @property
    def work(self) -> Path:
        return self.path / "work"

    @property
    def spans(self) -> Path:
        return self.path / "traces" / "spans.jsonl"

    @property
    def runtime_file(self) -> Path:
        return self.path / "run" / "runtime.json"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for this process.

        Raises:
            PreconditionError: another process holds it.
            OSError: the folder cannot be made or written.
        """
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        for part in (self.artifacts, self.bus, self.keys, self.work, self.spans.parent):
            part.mkdir(exist_ok=True, mode=0o700)
        self.runtime_file.parent.mkdir(exist_ok=True, mode=0o700)
        with (self.path / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise PreconditionError(
                    f"{self.path} is in use by another mill; stop that one or give --state another"
                    " folder"
                ) from None
            try:
                yield
            finally:
                self.runtime_file.unlink(missing_ok=True)

    def write_runtime(self, runtime: Runtime) -> None:
        """Publish how to reach this instance, readable by its owner alone."""
        write_private(self.runtime_file, json.dumps(asdict(runtime), indent=1).encode())

    def read_runtime(self) -> Runtime:
        """Where the running instance is.

        Raises:
            PreconditionError: none runs on this folder.
        """
        try:
            return Runtime(**json.loads(self.runtime_file.read_text()))
        except FileNotFoundError:
            raise PreconditionError(
                f"nothing runs on {self.path}; start it with `mill up`"
            ) from None


def write_private(path: Path, content: bytes) -> None:
    """Write `content` so that only the owner can read it, at no moment otherwise."""
    temporary = path.with_suffix(f"{path.suffix}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    temporary.replace(path)
