"""Becomes a program that is not ours, such as nats-server, tied to its supervisor and a folder.

`python -m modelmill_cli.parent_watchdog LOCK COMMAND...`, with a pipe of the supervisor as stdin.
The command is told to end when the supervisor's process ends, however it does. It inherits the
locked file LOCK: two of them never work on one folder, also when the first was orphaned and is
still on its way out. There is no process between the two that could die alone.
"""

import fcntl
import os
import select
import sys
import time

from modelmill_service_kit.endings import end_with_parent

LOCK_SECONDS = 30.0


def main() -> int:
    lock_file, *command = sys.argv[1:]
    end_with_parent()
    lock = os.open(lock_file, os.O_RDWR | os.O_CREAT, 0o600)
    if not _locked(lock):
        print(f"{lock_file} is held by a process that does not end", file=sys.stderr)
        return 2
    if _supervisor_is_gone():  # perhaps before we asked to be told
        return 0
    os.set_inheritable(lock, True)
    os.execv(command[0], command)


def _locked(descriptor: int) -> bool:
    """Whether the lock was free, or became so within `LOCK_SECONDS`."""
    deadline = time.monotonic() + LOCK_SECONDS
    while time.monotonic() < deadline:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.05)
        else:
            return True
    return False


def _supervisor_is_gone() -> bool:
    """Nothing is ever written to our stdin, so it can be read when it has ended."""
    return bool(select.select([sys.stdin], [], [], 0)[0])


if __name__ == "__main__":
    sys.exit(main())
