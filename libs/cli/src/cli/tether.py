"""Runs a command that must not outlive us, and prints READY once its port answers.

`python -m cli.tether NAME PORT COMMAND...`: for programs that are not ours, such as nats-server.
The command ends when our stdin does, which is when the supervisor dies, or when we are told to.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
import time

START_SECONDS = 30.0


def main() -> int:
    name, port, *command = sys.argv[1:]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=2)
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())

    def end_with_stdin() -> None:
        sys.stdin.buffer.read()
        process.terminate()

    threading.Thread(target=end_with_stdin, daemon=True).start()
    if _answers(int(port), process):
        print(f"READY {name}={port}", flush=True)
    status = process.wait()
    # The reader thread still holds stdin's lock; a normal exit would wait for it.
    os._exit(status)


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
