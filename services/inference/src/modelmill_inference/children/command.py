"""Guard process of a third-party server: kills the server's process group when the parent ends.

It is a separate process, because the parent may be killed: the guard then reads end of file from
the pipe.

In: `{"run": {"command": [...], "environment": {...}}}`. Out: `{"ended": status}`.
"""

import os
import signal
import subprocess
import sys
import threading

from modelmill_service_kit.endings import end_with_parent

from modelmill_inference.children.parent_pipe import ParentGoneError, ParentPipe

STDERR = 2
NOT_FOUND = 127
"""Exit status of a command that cannot be executed, as in a shell."""


class GuardedCommand:
    """A running command in a process group of its own."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            command,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            # Its output is a log; stdout may be read by the parent.
            stdout=STDERR,
            start_new_session=True,
            # Even SIGKILL of this process stops the server; no thread runs yet.
            preexec_fn=end_with_parent,
        )
        self._lock = threading.Lock()
        self._is_over = False

    def wait(self) -> int:
        """Wait for the command and its group; returns the exit status."""
        status = self._process.wait()
        self.kill()
        return status

    def kill(self) -> None:
        """Kill the group. Idempotent, because the id may be reused by another group."""
        with self._lock:
            if self._is_over:
                return
            self._is_over = True
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except ProcessLookupError:
                return


def main() -> None:
    """Run until the command or the parent ends."""
    # Ctrl-C also reaches the parent, which closes the pipe when it stops.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    parent = ParentPipe()
    try:
        run = next(parent.receive(wait=True))["run"]
        try:
            guarded = GuardedCommand(run["command"], run["environment"])
        except OSError as error:
            print(f"cannot run {run['command'][0]}: {error.strerror}", file=sys.stderr)
            parent.send({"ended": NOT_FOUND})
            return
        threading.Thread(target=_report_end, args=(guarded, parent), daemon=True).start()
        try:
            while True:
                for _ in parent.receive(wait=True):
                    pass
        finally:
            guarded.kill()
    except ParentGoneError:
        return


def _report_end(guarded: GuardedCommand, parent: ParentPipe) -> None:
    try:
        parent.send({"ended": guarded.wait()})
    except ParentGoneError:
        return


if __name__ == "__main__":
    main()
