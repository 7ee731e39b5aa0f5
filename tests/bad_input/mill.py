"""`mill` as people run it: a process with a terminal's worth of output, and a status."""

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from modelmill_cli.gateway import connect
from modelmill_cli.state_folder import StateFolder
from modelmill_client import Modelmill

COMMAND_SECONDS = 240
START_SECONDS = 120
STOP_SECONDS = 60


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """The one line that it said."""
        (line,) = self.err.splitlines()
        return line


def mill(state: Path, *arguments: str, **environment: str) -> Ended:
    """Run `mill --state STATE ...` to its end."""
    done = subprocess.run(
        command(state, *arguments),
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        stdin=subprocess.DEVNULL,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def command(state: Path, *arguments: str, python: str = sys.executable) -> list[str]:
    return [python, "-m", "modelmill_cli.main", "--state", str(state), *arguments]


class StartedMill:
    """A `mill up`, or another command that stays, which a test sends signals to.

    Args:
        python: of the installation whose `mill` it is.
    """

    def __init__(
        self, state: Path, *arguments: str, python: str = sys.executable, **environment: str
    ) -> None:
        self.state = StateFolder(state)
        self.log_file = state.with_name(f"{state.name}-{time.monotonic_ns()}.log")
        with self.log_file.open("w") as log:
            self.process = subprocess.Popen(
                command(state, *arguments, python=python),
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env=os.environ | environment,
            )

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    def wait_for_line(self, text: str) -> None:
        """Until the log has `text`; a mill that ends before is a failure."""
        deadline = time.monotonic() + START_SECONDS
        while text not in self.log:
            assert self.process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.05)

    def signal_until_ended(self, *numbers: signal.Signals) -> int:
        """Send these, a moment apart, and give the status that it ends with."""
        for number in numbers:
            if self.process.poll() is None:
                self.process.send_signal(number)
            time.sleep(0.1)
        return self.process.wait(STOP_SECONDS)

    def client(self) -> Modelmill:
        return connect(self.state)

    def processes(self) -> list[psutil.Process]:
        """Whatever runs on this state folder, whoever its parent is."""
        return processes_on(self.state.path)


def processes_on(state: Path) -> list[psutil.Process]:
    """Processes that name `state` in their command or their environment, ours left out."""
    found = []
    for process in psutil.process_iter():
        try:
            words = [*process.cmdline(), *process.environ().values()]
        except psutil.Error:
            continue
        inside = any(str(state) in word for word in words)
        if inside and process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


def wait_for(condition: Callable[[], bool]) -> None:
    """Until it holds."""
    deadline = time.monotonic() + START_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def wait_until_gone(state: Path) -> None:
    """Until nothing runs on `state` any more."""
    deadline = time.monotonic() + STOP_SECONDS
    while left := processes_on(state):
        assert time.monotonic() < deadline, [process.cmdline() for process in left]
        time.sleep(0.1)


@contextmanager
def full_disk(process: psutil.Process) -> Iterator[None]:
    """To this process, and to those that it starts meanwhile, every file is as long as it may be.

    The kernel answers a write with EFBIG, which our code takes for what ENOSPC is; it needs no
    mount and no root.
    """
    soft, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        with suppress(ProcessLookupError):  # some end when they may not write
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (soft, hard))
