"""Runs a command that must not outlive us, and prints READY once its port answers.

`python -m cli.tether NAME PORT LOCK COMMAND...`: for programs that are not ours, such as
nats-server. The command ends when our stdin does, which is when the supervisor dies, or when we are
told to. It inherits the locked file LOCK: two of them never work on one folder, also when the first
was orphaned by a kill -9 and is still on its way out.
"""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time

START_SECONDS = 30.0


def main() -> int:
    name, port, lock_file, *command = sys.argv[1:]
    started: list[subprocess.Popen[bytes]] = []
    told = threading.Event()

    def end() -> None:
        told.set()
        for process in started:
            process.terminate()

    def end_with_stdin() -> None:
        sys.stdin.buffer.read()
        end()

    signal.signal(signal.SIGTERM, lambda *_: end())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=end_with_stdin, daemon=True).start()
    with open(lock_file, "a") as lock:
        if not _locked(lock.fileno(), told):
            if told.is_set():
                os._exit(0)
            print(f"{lock_file} is held by a process that does not end", file=sys.stderr)
            os._exit(2)
        started.append(
            subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=2, pass_fds=(lock.fileno(),))
        )
    if told.is_set():  # it came while the command was starting
        end()
    if _answers(int(port), started[0]):
        print(f"READY {name}={port}", flush=True)
    status = started[0].wait()
    # The reader thread still holds stdin's lock; a normal exit would wait for it.
    os._exit(status)


def _locked(descriptor: int, told: threading.Event) -> bool:
    """Whether the lock was free, or became so within `START_SECONDS`."""
    deadline = time.monotonic() + START_SECONDS
    while not told.is_set() and time.monotonic() < deadline:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.05)
        else:
            return True
    return False


def _answers(port: int, process: "subprocess.Popen[bytes]") -> bool:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return True
        except OSError:
            time.sleep(0.05)
    return False


if __name__ == "__main__":
    main()
