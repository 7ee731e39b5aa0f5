"""A copy of a fork server is what a start of the same module would be, and imports nothing."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from modelmill_testkit import forked_starts
from modelmill_testkit.forked_starts import ForkedPopen, Preload

pytestmark = pytest.mark.tier("test")

LARGE = "import os\nPID, SEEN = os.getpid(), os.environ.get('SAYS')"
TELLS = """
import json, os, sys
import large
said = {
    "name": __name__, "package": __spec__.name, "arguments": sys.argv, "says": os.environ["SAYS"],
    "imported": large.SEEN, "parent": os.getppid(), "read": sys.stdin.read(),
    "leads": os.getpgrp() == os.getpid(), "descriptors": sorted(os.listdir("/proc/self/fd")),
    "command": open("/proc/self/cmdline").read().rstrip(chr(0)).split(chr(0)),
    "is_copy": large.PID != os.getpid(), "folders": [os.getcwd(), sys.path[0]],
}
os.write(int(sys.argv[1]), json.dumps(said).encode())
print("said", file=sys.stderr)
if sys.argv[2] == "fails": raise ValueError("a reason")
if sys.argv[2] == "kills": os.kill(os.getpid(), 9)
sys.exit(int(sys.argv[2]))
"""
IN_A_THREAD = (
    "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()"
)

Ran = tuple[dict[str, Any], int, str]
"""What a process told, its exit status, and what it printed."""
Run = Callable[..., Ran]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Runs `python -m tells`, for which `large` is imported."""
    for name, source in (("large", LARGE), ("tells", TELLS), ("threads", IN_A_THREAD)):
        (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(forked_starts.PRELOADS, "tells", Preload("tells", ("large",)))

    def ran(
        kind: type["subprocess.Popen[bytes]"],
        end: str = "0",
        says: str = "hello",
        cwd: Path | None = None,
    ) -> Ran:
        reading, writing = os.pipe()
        command = [sys.executable, "-Xfaulthandler", "-m", "tells", str(writing), end]
        with kind(
            command,
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(writing,),
            process_group=0,
            cwd=cwd,
            env=os.environ | {"SAYS": says},
        ) as process:
            os.close(writing)
            _, printed = process.communicate(b"a line\n", timeout=60)
        forked_starts._servers.settle()
        with os.fdopen(reading, "rb") as told:
            return json.loads(told.read()), process.returncode, printed.decode()

    yield ran
    forked_starts._servers.end()


def test_nobody_waits_for_what_is_imported_to_be_copied(run: Run) -> None:
    assert [run(ForkedPopen)[0]["is_copy"] for _ in range(2)] == [False, True]


def test_a_copy_has_what_a_process_that_was_started_has(run: Run) -> None:
    started, copied = run(ForkedPopen), run(ForkedPopen)

    assert (started[0].pop("is_copy"), copied[0].pop("is_copy")) == (False, True)
    # The pipe's number is the first that is free.
    for each in (started, copied):
        each[0]["arguments"][0] = Path(each[0]["arguments"][0]).name
    assert copied == started
    assert copied[0]["parent"] == os.getpid()
    assert copied[0]["imported"] == "hello"


def test_a_copy_runs_in_the_folder_that_it_is_told(run: Run, tmp_path: Path) -> None:
    (other := tmp_path / "other").mkdir()
    (other / "tells.py").write_text(TELLS)
    run(ForkedPopen)  # the server is in the folder above

    told, *_ = run(ForkedPopen, cwd=other)

    assert told["folders"] == [str(other)] * 2
    assert told["is_copy"]


@pytest.mark.parametrize(("end", "status"), [("3", 3), ("fails", 1), ("kills", -signal.SIGKILL)])
def test_a_copy_ends_as_a_process_that_was_started_does(run: Run, end: str, status: int) -> None:
    run(ForkedPopen)
    _, ended, printed = run(ForkedPopen, end)

    assert ended == status
    assert printed.startswith("said\n")
    assert ("ValueError: a reason" in printed) == (end == "fails")


def test_what_is_imported_in_another_environment_is_imported_anew(run: Run) -> None:
    told = [run(ForkedPopen, says=says)[0] for says in ["hello", "good evening"] * 2]

    assert [each["imported"] for each in told] == ["hello", "good evening"] * 2
    assert [each["is_copy"] for each in told] == [False, False, True, True]


def test_a_process_with_threads_is_not_copied(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(forked_starts.PRELOADS, "tells", Preload("tells", ("large", "threads")))

    assert not any(run(ForkedPopen)[0]["is_copy"] for _ in range(2))


@pytest.mark.real_starts
def test_the_marker_has_processes_started(run: Run) -> None:
    assert not any(run(ForkedPopen)[0]["is_copy"] for _ in range(2))


def test_a_test_starts_by_subprocess_what_is_copied(run: Run, pytestconfig: pytest.Config) -> None:
    run(subprocess.Popen)
    assert run(subprocess.Popen)[0]["is_copy"] != pytestconfig.getoption("real_starts")
    assert subprocess.run([sys.executable, "-c", "raise SystemExit(4)"]).returncode == 4
