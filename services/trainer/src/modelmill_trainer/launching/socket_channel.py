"""Messages between launcher and local ranks, as JSON lines over a Unix socket."""

import json
import os
import queue
import signal
import socket
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from modelmill_trainer.launching.launcher import DISCONNECTED
from modelmill_trainer.training.distributed.process_names import rank_folder


@dataclass(frozen=True)
class LocalRank:
    """A rank process that has connected."""

    number: int
    pid: int
    connection: socket.socket

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message; it is dropped if the rank has ended."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self.connection.sendall(json.dumps(dict(message)).encode() + b"\n")

    def stop(self) -> None:
        """Ask the rank to save and stop, by SIGTERM as for any child process."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """Kill the rank's process group, which torchrun creates for each rank."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)


class SocketChannel:
    """Accepts connections of ranks, sends each its request, and queues their messages."""

    def __init__(self, request: Mapping[str, Any], folder: Path) -> None:
        self._request = request
        self._folder = folder
        self._received: queue.SimpleQueue[tuple[LocalRank, dict[str, Any]]] = queue.SimpleQueue()
        self._ranks: dict[int, LocalRank] = {}
        self._changing = threading.Lock()
        # Not in the job's folder: socket paths are limited to about 100 bytes. Mode 0700.
        self._home = tempfile.TemporaryDirectory(prefix="ranks-")
        self.path = Path(self._home.name) / "socket"
        self._listener = socket.socket(socket.AF_UNIX)

    def __enter__(self) -> Self:
        self._listener.bind(str(self.path))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True, name="ranks").start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        for rank in self.ranks:
            rank.kill()
            rank.connection.close()
        self._home.cleanup()

    @property
    def ranks(self) -> list[LocalRank]:
        """Ranks that have connected."""
        with self._changing:
            return list(self._ranks.values())

    def receive(self, seconds: float) -> tuple[LocalRank, dict[str, Any]] | None:
        """The next message of any rank, in the protocol of `ChildPort`; None after `seconds`."""
        with suppress(queue.Empty):
            return self._received.get(timeout=seconds)
        return None

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as lines, suppress(OSError):
            hello = json.loads(lines.readline() or b"{}")
            if not hello:
                return
            rank = LocalRank(hello["rank"], hello["pid"], connection)
            with self._changing:
                self._ranks[rank.number] = rank
            folder = self._folder / rank_folder(rank.number)
            folder.mkdir(parents=True, exist_ok=True)
            rank.send({"folder": str(folder), "request": dict(self._request)})
            for line in lines:
                if line.endswith(b"\n"):
                    self._received.put((rank, json.loads(line)))
            self._received.put((rank, DISCONNECTED))
