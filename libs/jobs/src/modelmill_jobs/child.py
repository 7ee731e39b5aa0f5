"""The child process's side of a job; imports the standard library only.

A child reads one line of JSON from stdin and then waits there for the parent's replies; the end of
stdin means that the parent is gone, and so is the child. The parent's side is `children`.
"""

import errno
import json
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

LOST_PARENT, DISK_FULL = 70, 74
"""Exit statuses that say why."""
DISK_FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
STOP_LOOK_SECONDS = 0.2
"""So soon a child that waits for an answer sees that it shall stop."""


class Preempted(Exception):  # noqa: N818 - not a fault
    """Told to stop: the job goes back to the queue with its checkpoint."""


class ChildFailure(Exception):  # noqa: N818
    """The job cannot succeed, however often it is tried.

    Args:
        code: stable word, for example "NO_VALID_ROWS".
        message: one clear line for the person who asked.
        remedy: what to do about it.
    """

    def __init__(self, code: str, message: str, remedy: str = "") -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.remedy = remedy


class ChildPort:
    """Protocol between a job's child and its parent."""

    def __init__(self, request: dict[str, Any], folder: Path, report_fd: int) -> None:
        self.request = request
        self.folder = folder
        """Scratch of this attempt alone; gone when the attempt ends."""
        self.stop_requested = False
        """Set by SIGTERM: finish the step, `checkpoint`, then raise `Preempted`."""
        self._report_fd = report_fd
        self._writing = threading.Lock()
        self._replies: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._asked = 0

    @classmethod
    def open(cls, report_fd: int | None = None) -> "ChildPort":
        """Read the request and begin to watch the parent. Call it once, in the main thread.

        Args:
            report_fd: where the parent hears reports; `sys.argv` names it if left out.
        """
        lines = _Lines(sys.stdin.fileno())
        first = lines.read()
        if first is None:
            sys.exit(
                "this module is started by modelmill_jobs.active.ActiveJob.run_child, not by hand"
            )
        report_fd = int(sys.argv[1]) if report_fd is None else report_fd
        os.set_inheritable(report_fd, False)
        port = cls(first["request"], Path(first["folder"]), report_fd)
        signal.signal(signal.SIGTERM, port._on_sigterm)
        threading.Thread(target=port._watch, args=(lines,), daemon=True, name="parent").start()
        return port

    def report(
        self,
        phase: str,
        *,
        done: int = 0,
        total: int = 0,
        unit: str = "",
        metrics: Mapping[str, float] | None = None,
        max_silence_seconds: float = 60.0,
    ) -> None:
        """Report progress; cheap enough for every step.

        Only a new `phase` or a moved `done` counts as a sign of life. With none for
        `max_silence_seconds` the parent kills this process and the attempt has failed.
        """
        self._send(
            type="progress",
            phase=phase,
            done=int(done),
            total=int(total),
            unit=unit,
            # Plain floats: callers hand in numbers of numpy and torch.
            metrics={name: float(value) for name, value in (metrics or {}).items()},
            max_silence_seconds=max_silence_seconds,
        )

    def checkpoint(self, folder: Path, step: int) -> None:
        """Store `folder` as the checkpoint of `step`; returns once it is durable.

        Another attempt begins from it. The folder may be removed afterwards.
        """
        self._send(type="checkpoint", folder=str(folder), step=step)
        while self._replies.get().get("saved_step") != step:
            pass

    def ask(
        self, questions: Iterable[Mapping[str, Any]], *, at_once: int
    ) -> Iterator[tuple[int, Any]]:
        """Send requests to the parent, which alone has network access; both sides speak JSON.

        Yields the place of each question and its answer, as the answers come. No more than
        `at_once` are open at any time, and no more questions are taken than that. A question that
        the parent cannot answer ends this process and the attempt.

        Raises:
            Preempted: told to stop meanwhile.
        """
        open_: dict[int, int] = {}
        for place, question in enumerate(questions):
            if len(open_) >= at_once:
                yield self._answer(open_)
            self._asked += 1
            open_[self._asked] = place
            self._send(type="question", number=self._asked, question=dict(question))
        while open_:
            yield self._answer(open_)

    def succeed(self, result: Mapping[str, Any]) -> None:
        """The work is done; `result` is what `run_child` returns."""
        self._send(type="succeeded", result=dict(result))

    def fail(self, code: str, message: str, remedy: str = "") -> None:
        """The work cannot be done; it is not tried again."""
        self._send(type="failed", code=code, message=message, remedy=remedy)

    def preempted(self) -> None:
        """The work stopped because it was told to; it goes on from the last checkpoint."""
        self._send(type="preempted")

    def _answer(self, open_: dict[int, int]) -> tuple[int, Any]:
        """The next answer to one of the open questions, by their numbers; those of others go."""
        while not self.stop_requested:
            try:
                reply = self._answers.get(timeout=STOP_LOOK_SECONDS)
            except queue.Empty:
                continue
            if reply["answered"] in open_:
                return open_.pop(reply["answered"]), reply["answer"]
        raise Preempted

    def _send(self, **message: Any) -> None:
        line = memoryview(json.dumps(message).encode() + b"\n")
        with self._writing:
            while line:
                line = line[os.write(self._report_fd, line) :]

    def _on_sigterm(self, _number: int, _frame: object) -> None:
        self.stop_requested = True

    def _watch(self, lines: "_Lines") -> None:
        while (reply := lines.read()) is not None:
            (self._answers if "answered" in reply else self._replies).put(reply)
        # Nobody will take the result. Take along what this process started: it leads its group.
        if os.getpgrp() == os.getpid():
            os.killpg(os.getpid(), signal.SIGKILL)
        os._exit(LOST_PARENT)


class _Lines:
    """JSON lines of a descriptor, unbuffered: a buffered stdin locks up when the process ends."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._rest = b""

    def read(self) -> dict[str, Any] | None:
        """The next object, or None at the end."""
        while b"\n" not in self._rest:
            chunk = os.read(self._fd, 65536)
            if not chunk:
                return None
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\n")
        parsed: dict[str, Any] = json.loads(line)
        return parsed


def run_child_main(
    main: Callable[[ChildPort], Mapping[str, Any]], report_fd: int | None = None
) -> None:
    """Run `main` as a child: its result, `ChildFailure` or `Preempted` goes to the parent.

    Any other exception leaves its traceback in the log and ends the process with status 1; the
    parent may try again.
    """
    port = ChildPort.open(report_fd)
    try:
        result = main(port)
    except ChildFailure as failure:
        port.fail(failure.code, failure.message, failure.remedy)
    except Preempted:
        port.preempted()
    except Exception as error:
        with suppress(OSError):  # there may be no space for the log, either
            traceback.print_exc()
            sys.stderr.flush()
        full = isinstance(error, OSError) and error.errno in DISK_FULL_ERRNOS
        sys.exit(DISK_FULL if full else 1)
    else:
        port.succeed(result)
