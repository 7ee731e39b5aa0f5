"""How a rank on another machine hears from the process that speaks for the run: by files.

See `modelmill_trainer.launching.folder_links`, whose other end this is.
"""

import json
import os
import signal
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelmill_trainer.training.distributed.process_names import rank_folder

REQUEST = "request.json"
BEAT: Mapping[str, Any] = {"beat": True}
STOP: Mapping[str, Any] = {"stop": True}
LOOK_SECONDS = 0.2
SILENCE_SECONDS = 120.0
"""After so long without a beat nobody listens any more."""


def attach(folder: Path, rank: int, *, silence_seconds: float = SILENCE_SECONDS) -> tuple[int, int]:
    """Begin to listen.

    Returns:
        A descriptor on which there is what `modelmill_jobs.child` reads, and whose end comes when
        nobody listens any more; and one for reports.
    """
    asked = json.loads((folder / REQUEST).read_text(encoding="utf-8"))
    scratch = Path(asked["folder"]) / rank_folder(rank)
    scratch.mkdir(exist_ok=True)
    says = os.open(folder / f"rank-{rank}.out", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    hears, tells = os.pipe()
    _tell(tells, {"folder": str(scratch), "request": asked["request"]})
    pump = _Pump(folder / f"rank-{rank}.in", tells, silence_seconds)
    threading.Thread(target=pump.run, daemon=True, name="links").start()
    return hears, says


class _Pump:
    """Passes on what is written to a file, until nothing is for too long."""

    def __init__(self, source: Path, tells: int, silence_seconds: float) -> None:
        self._source = source
        self._tells = tells
        self._silence_seconds = silence_seconds

    def run(self) -> None:
        read, last = 0, time.monotonic()
        while time.monotonic() - last < self._silence_seconds:
            try:
                with self._source.open("rb") as lines:
                    lines.seek(read)
                    whole, newline, _ = lines.read().rpartition(b"\n")
            except OSError:
                break  # the run's folder is gone, and with it whoever listened
            if newline:
                last = time.monotonic()
                read += len(whole) + 1
                for line in whole.splitlines():
                    self._pass_on(json.loads(line))
            time.sleep(LOOK_SECONDS)
        os.close(self._tells)

    def _pass_on(self, message: dict[str, Any]) -> None:
        if message == STOP:
            os.kill(os.getpid(), signal.SIGTERM)
        elif message != BEAT:
            _tell(self._tells, message)


def _tell(tells: int, message: Mapping[str, Any]) -> None:
    os.write(tells, json.dumps(dict(message)).encode() + b"\n")
