"""Messages between launcher and remote ranks, as JSON lines in files on a shared volume.

request.json    the request of all ranks
rank-<n>.out    messages of rank n
rank-<n>.in     messages to rank n, with a heartbeat every few seconds
"""

import json
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelmill_trainer.training.distributed.file_port import HEARTBEAT, REQUEST, STOP

POLL_SECONDS = 0.2
HEARTBEAT_SECONDS = 10.0


@dataclass(frozen=True)
class RemoteRank:
    """A rank that has sent a message."""

    number: int
    inbox: Path

    def send(self, message: Mapping[str, Any]) -> None:
        """See `Rank`."""
        with self.inbox.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(dict(message)) + "\n")

    def stop(self) -> None:
        """See `Rank`."""
        self.send(STOP)


class FileChannel:
    """The launcher's end: creates the folder and polls the files of the ranks."""

    def __init__(
        self,
        request: Mapping[str, Any],
        folder: Path,
        ranks: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = folder / "links"
        self._outboxes = [self.path / f"rank-{number}.out" for number in range(ranks)]
        self._ranks = [
            RemoteRank(number, self.path / f"rank-{number}.in") for number in range(ranks)
        ]
        self._read = [0] * ranks
        self._received: deque[tuple[RemoteRank, dict[str, Any]]] = deque()
        self._clock = clock
        self._last_heartbeat = clock()
        self.path.mkdir()
        for rank in self._ranks:
            rank.inbox.touch()
        asked = {"folder": str(folder), "request": dict(request)}
        (self.path / REQUEST).write_text(json.dumps(asked), encoding="utf-8")

    @property
    def ranks(self) -> list[RemoteRank]:
        """Ranks that have sent a message."""
        return [
            rank
            for rank, outbox in zip(self._ranks, self._outboxes, strict=True)
            if outbox.exists()
        ]

    def receive(self, seconds: float) -> tuple[RemoteRank, dict[str, Any]] | None:
        """The next message of any rank; None after `seconds` without one."""
        give_up = self._clock() + seconds
        while not self._received:
            self._send_heartbeat()
            self._poll()
            if not self._received:
                if self._clock() >= give_up:
                    return None
                time.sleep(POLL_SECONDS)
        return self._received.popleft()

    def _send_heartbeat(self) -> None:
        if self._clock() - self._last_heartbeat >= HEARTBEAT_SECONDS:
            for rank in self._ranks:
                rank.send(HEARTBEAT)
            self._last_heartbeat = self._clock()

    def _poll(self) -> None:
        for rank, outbox in zip(self._ranks, self._outboxes, strict=True):
            if not outbox.exists():
                continue
            with outbox.open("rb") as lines:
                lines.seek(self._read[rank.number])
                whole, newline, _ = lines.read().rpartition(b"\n")
            self._read[rank.number] += len(whole) + len(newline)
            self._received += ((rank, json.loads(line)) for line in whole.splitlines())
