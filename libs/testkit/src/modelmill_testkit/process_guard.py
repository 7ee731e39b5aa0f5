"""A guard over the starts of processes: in quick tiers of tests each is an error."""

import platform
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import util
from typing import Any

from modelmill_testkit.shared_nats import starts_shared_nats

STARTS = ("subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn")


class StartedProcessError(RuntimeError):
    """A test of a quick tier started a process."""


class ProcessGuard:
    """Refuses starts while a test of a guarded tier runs."""

    def __init__(self) -> None:
        self._tier = ""
        self._refused: StartedProcessError | None = None
        # Runs `uname` once in a process, when somebody wants to name the platform.
        platform.uname().processor  # noqa: B018 - kept by `platform`
        # A hook of audit stays for as long as the process: there is no way to take it out.
        sys.addaudithook(self._hear)
        self._watch_multiprocessing()

    @contextmanager
    def watching(self, tier: str) -> Iterator[None]:
        """In the block a start is refused when the tier is guarded."""
        self._tier, self._refused = tier, None
        try:
            yield
        finally:
            self._tier = ""

    def raise_refused(self) -> None:
        """Say again what was refused since the test began, if anything was."""
        if self._refused is not None:
            raise self._refused

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if event in STARTS:
            self._refuse(f"{event} {args[1] if len(args) > 1 else ''}")

    def _refuse(self, what: str) -> None:
        allowed = self._tier not in ("quick", "check")
        if allowed or (self._tier == "check" and starts_shared_nats()):
            return
        self._refused = StartedProcessError(
            f"a test of the tier {self._tier!r} started a process ({what}). Mark the test with"
            " `@pytest.mark.tier('test')`, or with 'drills' if it kills what it starts"
        )
        raise self._refused

    def _watch_multiprocessing(self) -> None:
        """Its spawned processes are no event of audit in Python 3.11."""
        spawn = util.spawnv_passfds

        def watched(path: bytes, args: Sequence[Any], passfds: Sequence[int]) -> int:
            self._refuse(" ".join(map(str, args)))
            return spawn(path, args, passfds)

        util.spawnv_passfds = watched
