"""What the ranks of a run say to the process that started them, and hear from it."""

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
from types import TracebackType
from typing import Any, Self

from modelmill_trainer.launching.launcher import GONE
from modelmill_trainer.training.distributed.process_names import rank_folder


@dataclass(frozen=True)
class LocalRank:
    """A process of the run, from the moment that it reported."""

    number: int
    pid: int
    connection: socket.socket

    def send(self, message: Mapping[str, Any]) -> None:
        """Tell it something; a rank that is gone hears nothing."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self.connection.sendall(json.dumps(dict(message)).encode() + b"\n")

    def stop(self) -> None:
        """Ask it to save and stop, as a parent asks its child."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """End it and all that it started: torchrun lets each rank lead a group of its own."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)


class SocketLinks:
    """Takes the connections of ranks, hands each its request, and collects what they say."""

    def __init__(self, request: Mapping[str, Any], folder: Path) -> None:
        self._request = request
        self._folder = folder
        self._heard: queue.SimpleQueue[tuple[LocalRank, dict[str, Any]]] = queue.SimpleQueue()
        self._ranks: dict[int, LocalRank] = {}
        self._changing = threading.Lock()
        # Not in the job's folder: the path of a socket must be short. For this user alone.
        self._home = tempfile.TemporaryDirectory(prefix="ranks-")
        self.path = Path(self._home.name) / "socket"
        self._door = socket.socket(socket.AF_UNIX)

    def __enter__(self) -> Self:
        self._door.bind(str(self.path))
        self._door.listen()
        threading.Thread(target=self._answer_the_door, daemon=True, name="ranks").start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._door.close()
        for rank in self.ranks:
            rank.kill()
            rank.connection.close()
        self._home.cleanup()

    @property
    def ranks(self) -> list[LocalRank]:
        """Those that have reported."""
        with self._changing:
            return list(self._ranks.values())

    def heard(self, seconds: float) -> tuple[LocalRank, dict[str, Any]] | None:
        """The next thing that a rank says, in the words of `ChildPort`; None when none does."""
        with suppress(queue.Empty):
            return self._heard.get(timeout=seconds)
        return None

    def _answer_the_door(self) -> None:
        with suppress(OSError):  # closed
            while True:
                connection, _ = self._door.accept()
                threading.Thread(target=self._listen, args=(connection,), daemon=True).start()

    def _listen(self, connection: socket.socket) -> None:
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
                    self._heard.put((rank, json.loads(line)))
            self._heard.put((rank, GONE))
