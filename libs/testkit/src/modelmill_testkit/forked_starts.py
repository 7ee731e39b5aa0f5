"""A plugin of pytest: children of services are copied from a process that has imported libraries.

What a child of ours imports (torch, OpenVINO, Arrow) takes seconds, and a test seconds of that for
each child it starts. With this plugin the first start of a module also begins a `fork_server`, and
once that has imported every later start is a copy of it: a process of its own, with its own limits,
signals and descriptors, that does not import again. Nobody waits for the imports: who starts a
child is an event loop, which has to answer its broker meanwhile. The marker `real_starts` and
`--real-starts` have children started as in production, which is also how services that are
processes start theirs.
"""

import ctypes
import inspect
import json
import os
import socket
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Any

import pytest

MOST_SERVERS = 6
"""Of one worker; the one that was not asked for longest ends."""
PADDING = "-" * 2000
"""Room for the command lines of copies."""
TAKE_ORPHANS = 36
"""PR_SET_CHILD_SUBREAPER of prctl(2)."""
CHANGES = "PYTEST_CURRENT_TEST"
"""A variable that is another in each test, and that nobody imports by."""


@dataclass(frozen=True)
class Preload:
    """What a module imports whatever it is asked for, by itself or late."""

    module: str
    modules: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    """Libraries that it says are not installed while it imports (`large_imports`)."""
    before: str = ""
    """A function "module:name" that it calls first."""


LARGE = ("sklearn", "torchvision", "boto3", "bitsandbytes", "scipy")
PRELOADS = {
    each.module: each
    for each in (
        Preload("modelmill_trainer.child", ("modelmill_trainer.training.fine_tune",), LARGE),
        Preload("modelmill_trainer.evaluating.child", ("modelmill_trainer.evaluating.run",)),
        Preload(
            "modelmill_inference.children.transformers",
            (
                "modelmill_inference.children.transformers",
                "modelmill_inference.children.transformers_runner",
            ),
            LARGE,
        ),
        Preload(
            "modelmill_data_prep.child",
            ("modelmill_data_prep.prepare_in_child",),
            before="modelmill_data_prep.adapters.worker_server:without_pandas",
        ),
        Preload("modelmill_data_prep.inspector_child", ("modelmill_data_prep.inspector_child",)),
        Preload("modelmill_tokenization.bounded.child", ("modelmill_tokenization.bounded.child",)),
        # Runs of tests that tests of plugins look at.
        Preload("pytest", ("pytest", "nats", "psutil", "execnet")),
    )
}
"""By the module that is run."""


class ForkServer:
    """A process to copy; it ends when this one lets go of it."""

    def __init__(self, asked: Preload, environment: Mapping[str, str]) -> None:
        self._link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-Xfaulthandler", "-m", "modelmill_testkit.fork_server"),
                    *(str(theirs.fileno()), PADDING),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                env=environment,
            )
        self._link.send(json.dumps(asdict(asked)).encode())
        self._said: bytes | None = None

    @property
    def can_fork(self) -> bool:
        """Whether it has imported, and without threads: those of other names are gone in a copy,
        and what they hold stays held."""
        if self._said is None:
            with suppress(BlockingIOError):
                self._said = self._link.recv(64, socket.MSG_DONTWAIT)
        return self._said == b"ready"

    def copy(self, start: Mapping[str, Any], descriptors: Sequence[int]) -> int:
        """A copy that runs what is asked for, a child of this process; its id.

        Raises:
            OSError: the server has ended.
        """
        with _takes_orphans():
            socket.send_fds(self._link, [json.dumps(start).encode()], descriptors)
            told = self._link.recv(64)
            if not told or not self._link.recv(64):
                raise ConnectionError("the fork server has ended")
        return int(told)

    def settle(self) -> None:
        """Wait until it has imported."""
        if self._said is None:
            self._said = self._link.recv(64)

    def end(self) -> None:
        """End it, also while it imports."""
        self._link.close()
        self._process.kill()
        self._process.wait()


class ForkServers:
    """Those of this process: one for what is imported, in one environment."""

    def __init__(self) -> None:
        self.are_used = True
        self._running: OrderedDict[tuple[str, ...], ForkServer] = OrderedDict()
        self._lock = threading.Lock()

    def copy(
        self, start: Mapping[str, Any], descriptors: Sequence[int], environment: Mapping[str, str]
    ) -> int | None:
        """A copy that runs what is asked for; None: it has to be started."""
        with self._lock:
            server = self._server(PRELOADS[start["module"]], environment)
            try:
                return server.copy(start, descriptors) if server.can_fork else None
            except OSError:
                return None

    def settle(self) -> None:
        """Wait until all have imported: the next start is a copy."""
        with self._lock:
            for server in self._running.values():
                server.settle()

    def end(self) -> None:
        """End all."""
        with self._lock:
            while self._running:
                self._running.popitem()[1].end()

    def _server(self, asked: Preload, environment: Mapping[str, str]) -> ForkServer:
        imported_by = {name: it for name, it in environment.items() if name != CHANGES}
        key = (asked.module, *(f"{n}={it}" for n, it in sorted(imported_by.items())))
        if (server := self._running.get(key)) is None:
            if len(self._running) >= MOST_SERVERS:
                self._running.popitem(last=False)[1].end()
            server = self._running[key] = ForkServer(asked, imported_by)
        self._running.move_to_end(key)
        return server


_servers = ForkServers()
_started_anew = subprocess.Popen
_parameters = inspect.signature(_started_anew._execute_child)  # type: ignore[attr-defined]


class ForkedPopen(subprocess.Popen):  # type: ignore[type-arg]
    """`subprocess.Popen`, of which the process may be a copy."""

    def _execute_child(self, *given: Any) -> None:
        asked = _parameters.bind(self, *given).arguments
        pid = _forked(asked) if _servers.are_used and _may_fork(asked) else None
        if pid is None:
            _started_anew._execute_child(self, *given)  # type: ignore[attr-defined]
            return
        self.pid = pid
        self._child_created = True
        pipes = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        self._close_pipe_fds(*(asked[name] for name in pipes))  # type: ignore[attr-defined]


def _may_fork(asked: Mapping[str, Any]) -> bool:
    """Whether it is `python -m` of a known module, and nothing about it is out of the ordinary."""
    words = asked["args"]
    if not isinstance(words, list) or words[0] != sys.executable or "-m" not in words[1:3]:
        return False
    usual = {
        **dict.fromkeys(("executable", "preexec_fn", "gid", "gids", "uid"), None),
        **{"shell": False, "start_new_session": False, "close_fds": True},
    }
    is_usual = all(asked[name] == value for name, value in usual.items())
    return is_usual and asked["process_group"] in (-1, 0) and _module(words) in PRELOADS


def _module(words: Sequence[str]) -> str:
    return words[words.index("-m") + 1]


def _forked(asked: Mapping[str, Any]) -> int | None:
    words = [os.fsdecode(word) for word in asked["args"]]
    sys.audit("subprocess.Popen", sys.executable, words, None, asked["env"])
    streams = (asked["p2cread"], asked["c2pwrite"], asked["errwrite"])
    standard = [number if given == -1 else given for number, given in enumerate(streams)]
    passed = list(asked["pass_fds"])
    environment = dict(os.environ if asked["env"] is None else asked["env"])
    start = {
        "module": _module(words),
        "arguments": words[words.index("-m") + 2 :],
        "command": words,
        "environment": environment,
        "folder": os.path.abspath(os.fsdecode(asked["cwd"] or os.getcwd())),
        "numbers": [0, 1, 2, *passed],
        "leads_group": asked["process_group"] == 0,
    }
    return _servers.copy(start, [*standard, *passed], environment)


@contextmanager
def _takes_orphans() -> Iterator[None]:
    """In the block, who is left by a process below this one becomes its child."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl(TAKE_ORPHANS, 1, 0, 0, 0)
    try:
        yield
    finally:
        prctl(TAKE_ORPHANS, 0, 0, 0, 0)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--real-starts`."""
    parser.addoption(
        "--real-starts", action="store_true", help="start children as in production, not as copies"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Whoever starts a process in this one from now on may get a copy."""
    config.addinivalue_line("markers", "real_starts: what it starts are no copies of a process")
    if not config.getoption("real_starts"):
        subprocess.Popen = ForkedPopen  # type: ignore[misc]


def pytest_unconfigure() -> None:
    """No process outlives the run."""
    subprocess.Popen = _started_anew  # type: ignore[misc]
    _servers.end()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Tests of starts themselves say so."""
    _servers.are_used = item.get_closest_marker("real_starts") is None
    return (yield)
