"""Runs a server that is not ours for as long as its parent lives, and ends all that it started.

A process of its own, because the parent may be killed: this one then reads the end of the pipe,
and the server's whole group goes at once, whatever it is doing.

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
"""Exit status of a command that cannot be run, as a shell has it."""


class GuardedCommand:
    """One running command, the leader of its own group."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            command,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            # What it prints is a log, and stdout has a reader who expects none.
            stdout=STDERR,
            start_new_session=True,
            # A kill -9 of this process leaves no server behind; no thread runs yet.
            preexec_fn=end_with_parent,
        )
        self._lock = threading.Lock()
        self._is_over = False

    def wait(self) -> int:
        """Its exit status, once it and all of its group are gone."""
        status = self._process.wait()
        self.kill()
        return status

    def kill(self) -> None:
        """End the group; a second time it does nothing: the number may be another's by then."""
        with self._lock:
            if self._is_over:
                return
            self._is_over = True
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except ProcessLookupError:
                return


def main() -> None:
    """Until the command ends or the parent is gone."""
    # The parent decides: a terminal's Ctrl-C reaches it too, and it hangs up when it is time.
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
        threading.Thread(target=_tell_its_end, args=(guarded, parent), daemon=True).start()
        try:
            while True:
                for _ in parent.receive(wait=True):
                    pass
        finally:
            guarded.kill()
    except ParentGoneError:
        return


def _tell_its_end(guarded: GuardedCommand, parent: ParentPipe) -> None:
    try:
        parent.send({"ended": guarded.wait()})
    except ParentGoneError:
        return


if __name__ == "__main__":
    main()
