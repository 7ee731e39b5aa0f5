"""Starts bounded processes, and tells which limit ended one."""

import os
import re
import signal
import socket
import subprocess
import sys

_SECRET = re.compile(r"SECRET|TOKEN|PASSWORD|KEY|CREDENTIAL", re.IGNORECASE)
CHILD = "modelmill_tokenization.bounded.child"
_ONE_THREAD = {
    # One request, one thread: what it takes is counted, and none goes on behind it.
    "TOKENIZERS_PARALLELISM": "false",
    "RAYON_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
}


def spawn(theirs: socket.socket, module: str = CHILD) -> subprocess.Popen[bytes]:
    """Run a module with its side of a socket pair; by `vfork`, so a large parent is not copied."""
    environment = {name: value for name, value in os.environ.items() if not _SECRET.search(name)}
    return subprocess.Popen(
        [sys.executable, "-m", module, str(theirs.fileno())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=(theirs.fileno(),),
        env=environment | _ONE_THREAD,
    )


def limit_of_death(status: int, cpu_seconds: float) -> str:
    """Which limit a process ran into, for `errors.limit_error`.

    Args:
        status: as `Popen.returncode`.
        cpu_seconds: what it was allowed.
    """
    if status == -signal.SIGPROF:
        return f"took more than {cpu_seconds:.3g} s of CPU time"
    # A library that gets no memory aborts; the kernel kills what takes the machine's last.
    return "needed more memory than it may have, or crashed,"


def cpu_seconds_of(pid: int) -> float:
    """What a process has taken so far; 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as content:
            fields = content.read().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
