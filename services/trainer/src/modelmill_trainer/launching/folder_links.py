"""What ranks on other machines say and hear, by files on a volume that all of them have.

request.json    what each is asked to do
rank-<n>.out    what it says, one JSON object a line
rank-<n>.in     what it hears, the same way; a beat every few seconds, so that it knows that
                somebody still listens
"""

import json
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelmill_trainer.training.distributed.folder_port import BEAT, REQUEST, STOP

LOOK_SECONDS = 0.2
BEAT_SECONDS = 10.0


@dataclass(frozen=True)
class FarRank:
    """A rank that has said something."""

    number: int
    hears: Path

    def send(self, message: Mapping[str, Any]) -> None:
        """See `Rank`."""
        with self.hears.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(dict(message)) + "\n")

    def stop(self) -> None:
        """See `Rank`."""
        self.send(STOP)


class FolderLinks:
    """Makes the folder, and looks what is said in it."""

    def __init__(
        self,
        request: Mapping[str, Any],
        folder: Path,
        ranks: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = folder / "links"
        self._says = [self.path / f"rank-{number}.out" for number in range(ranks)]
        self._ranks = [FarRank(number, self.path / f"rank-{number}.in") for number in range(ranks)]
        self._read = [0] * ranks
        self._heard: deque[tuple[FarRank, dict[str, Any]]] = deque()
        self._clock = clock
        self._last_beat = clock()
        self.path.mkdir()
        for rank in self._ranks:
            rank.hears.touch()
        asked = {"folder": str(folder), "request": dict(request)}
        (self.path / REQUEST).write_text(json.dumps(asked), encoding="utf-8")

    @property
    def ranks(self) -> list[FarRank]:
        """Those that have said something."""
        return [rank for rank, says in zip(self._ranks, self._says, strict=True) if says.exists()]

    def heard(self, seconds: float) -> tuple[FarRank, dict[str, Any]] | None:
        """The next thing that a rank says; None when none does."""
        give_up = self._clock() + seconds
        while not self._heard:
            self._beat()
            self._look()
            if not self._heard:
                if self._clock() >= give_up:
                    return None
                time.sleep(LOOK_SECONDS)
        return self._heard.popleft()

    def _beat(self) -> None:
        if self._clock() - self._last_beat >= BEAT_SECONDS:
            for rank in self._ranks:
                rank.send(BEAT)
            self._last_beat = self._clock()

    def _look(self) -> None:
        for rank, says in zip(self._ranks, self._says, strict=True):
            if not says.exists():
                continue
            with says.open("rb") as lines:
                lines.seek(self._read[rank.number])
                whole, newline, _ = lines.read().rpartition(b"\n")
            self._read[rank.number] += len(whole) + len(newline)
            self._heard += ((rank, json.loads(line)) for line in whole.splitlines())
