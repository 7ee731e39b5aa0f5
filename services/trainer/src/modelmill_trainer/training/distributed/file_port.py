"""A remote rank's end of the file channel to the launcher.

The other end is `modelmill_trainer.launching.file_channel`.
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
HEARTBEAT: Mapping[str, Any] = {"beat": True}
STOP: Mapping[str, Any] = {"stop": True}
POLL_SECONDS = 0.2
SILENCE_SECONDS = 120.0
"""Heartbeat timeout: after it the launcher is considered dead."""


def attach(folder: Path, rank: int, *, silence_seconds: float = SILENCE_SECONDS) -> tuple[int, int]:
    """Connect to the channel.

    Returns:
        A file descriptor to read messages for `modelmill_jobs.child`, which reaches end of file
        when the launcher is dead; and one to write reports to.
    """
    asked = json.loads((folder / REQUEST).read_text(encoding="utf-8"))
    scratch = Path(asked["folder"]) / rank_folder(rank)
    scratch.mkdir(exist_ok=True)
    reports = os.open(folder / f"rank-{rank}.out", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    read_end, write_end = os.pipe()
    _write_message(write_end, {"folder": str(scratch), "request": asked["request"]})
    pump = _Pump(folder / f"rank-{rank}.in", write_end, silence_seconds)
    threading.Thread(target=pump.run, daemon=True, name="links").start()
    return read_end, reports


class _Pump:
    """Copies messages from a file to a pipe until the heartbeat times out."""

    def __init__(self, source: Path, write_end: int, silence_seconds: float) -> None:
        self._source = source
        self._write_end = write_end
        self._silence_seconds = silence_seconds

    def run(self) -> None:
        read, last = 0, time.monotonic()
        while time.monotonic() - last < self._silence_seconds:
            try:
                with self._source.open("rb") as lines:
                    lines.seek(read)
                    whole, newline, _ = lines.read().rpartition(b"\n")
            except OSError:
                break  # the run's folder was deleted: the launcher has ended
            if newline:
                last = time.monotonic()
                read += len(whole) + 1
                for line in whole.splitlines():
                    self._pass_on(json.loads(line))
            time.sleep(POLL_SECONDS)
        os.close(self._write_end)

    def _pass_on(self, message: dict[str, Any]) -> None:
        if message == STOP:
            os.kill(os.getpid(), signal.SIGTERM)
        elif message != HEARTBEAT:
            _write_message(self._write_end, message)


def _write_message(write_end: int, message: Mapping[str, Any]) -> None:
    os.write(write_end, json.dumps(dict(message)).encode() + b"\n")
