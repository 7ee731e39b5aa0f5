"""Kills each kind of process, and looks whether everything is as it was, or all of it is gone."""

import fcntl
import os
import signal
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

import psutil

from tests.supervision.site import (
    BROKER,
    ENGINE,
    GATEWAY_PROCESS,
    SERVICES,
    Site,
    becomes_true,
    is_gone,
)

RECOVER_SECONDS = 90.0
JOB_SECONDS = 240.0
LOOK_SECONDS = 0.03
KEPT_RUNNING = (BROKER, *SERVICES, GATEWAY_PROCESS, ENGINE)
"""Who is started again by whoever looks after it, while the mill stays."""
PARTS = ("services", "jobs", "ranks", "mill", "stops")
FREEZE_EVERY = 4
"""One round in so many has a frozen service in it."""


@dataclass
class Tally:
    """What came of the kills."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    """By kind: until all was well again, or gone."""
    failures: list[str] = field(default_factory=list)

    def well(self, kind: str, seconds: float) -> None:
        self.seconds.setdefault(kind, []).append(seconds)

    def failed(self, kind: str, why: str) -> None:
        self.failures.append(f"{kind}: {why}")


class Drill:
    """Rounds of kills on one folder."""

    def __init__(
        self,
        site: Site,
        tell: Callable[[str], None] = lambda _line: None,
        save: Callable[["Tally"], None] = lambda _tally: None,
    ) -> None:
        self.site = site
        self.tally = Tally()
        self._tell = tell
        self._save = save

    def begin(self) -> None:
        """Start a mill whose model answers."""
        self.site.up()
        self.site.bring_model()
        assert self._answers_again("start"), self.tally.failures

    def end(self) -> None:
        if self.site.mill.process.poll() is None:
            self.site.mill.signal_until_ended(signal.SIGINT)

    def run(self, rounds: int, parts: Collection[str] = PARTS) -> Tally:
        """Every kind of these parts once a round."""
        self.begin()
        dataset_id, _ = self.site.ordered_dataset()
        try:
            for number in range(rounds):
                self._round(dataset_id, parts, freezes=number % FREEZE_EVERY == 0)
                self._save(self.tally)
                self._tell(f"{number + 1} rounds, {len(self.tally.failures)} failures")
        finally:
            self.end()
        return self.tally

    def _round(self, dataset_id: str, parts: Collection[str], *, freezes: bool) -> None:
        if "jobs" in parts:
            dataset_id = self.dataset()
            self.train(dataset_id, ["training job", "build job"])
        if "services" in parts:
            for kind in KEPT_RUNNING:
                self.kill_one(kind)
            self.kill_watchdog()
        if "ranks" in parts:
            self.train(dataset_id, ["torchrun", "rank"], distribution={"ranks": 2})
        if "mill" in parts:
            self.kill_mill("mill")
            if freezes:
                self.freeze("inference")
                self.kill_mill("mill beside a frozen service")
        if "stops" in parts:
            self._stops(freezes)

    def _stops(self, freezes: bool) -> None:
        if freezes:
            self.freeze("trainer")
            self.stop("stop beside a frozen service")
            self.site.up()
        self.kill("trainer")
        self.stop("stop while a service is started again")
        self.site.up()

    def train(self, dataset_id: str, kinds: list[str], **more: Any) -> None:
        """A training that succeeds, although processes of these kinds are killed in it."""
        with Hunter(self.site, kinds) as hunter:
            self._job_succeeds(hunter, self.site.ordered_training(dataset_id, **more))

    def dataset(self) -> str:
        """A dataset that is made, although the process of its job is killed."""
        with Hunter(self.site, ["dataset job"]) as hunter:
            dataset_id, job = self.site.ordered_dataset()
            self._job_succeeds(hunter, job)
        return dataset_id

    def _job_succeeds(self, hunter: "Hunter", job_id: str) -> None:
        """The job, and those that follow from it, although processes of theirs were killed."""

        def is_over() -> bool:
            job = self.site.job(job_id)
            return job.get("status") not in (None, "queued", "running")

        builds = "build job" in hunter.kinds  # ordered by the system itself, once it is over
        ended = becomes_true(
            lambda: is_over() and not hunter.wanted and not (builds and self.site.has_open_jobs()),
            within=JOB_SECONDS,
        )
        job = self.site.job(job_id)
        good = ended is not None and job["status"] == "succeeded"
        for kind in hunter.kinds:
            if good and kind in hunter.killed_at:
                self.tally.well(kind, time.monotonic() - hunter.killed_at[kind])
            else:
                why = job.get("error") or "not killed"
                self.tally.failed(kind, f"its job is {job.get('status')} ({why})")

    def kill(self, kind: str) -> list[psutil.Process]:
        """All that the victim was, itself first."""
        victim = self._victim(kind)
        left = self.site.below(victim)
        victim.kill()
        return left

    def _victim(self, kind: str) -> psutil.Process:
        found: list[psutil.Process] = []

        def look() -> bool:
            found[:] = self.site.processes().get(kind, [])
            return bool(found)

        if becomes_true(look, within=RECOVER_SECONDS) is None:
            raise AssertionError(f"there is no {kind}: {self.site.processes()}")
        return found[0]

    def kill_one(self, kind: str) -> None:
        """Kill it, and see that it and everything else works again."""
        before = len(self.site.processes().get(kind, []))
        self._is_well_again(kind, self.kill(kind), before)

    def kill_watchdog(self) -> None:
        """What becomes the broker dies before it has: it waits for the folder, which we hold."""
        broker = self._victim(BROKER)
        with (self.site.state.bus / "lock").open("a") as lock:
            broker.kill()
            fcntl.flock(lock, fcntl.LOCK_EX)
            watchdog = self._victim("watchdog")
            watchdog.kill()
        self._is_well_again("watchdog", [broker, watchdog])

    def _is_well_again(self, kind: str, old: list[psutil.Process], before: int = 1) -> None:
        began = time.monotonic()
        gone = becomes_true(lambda: all(map(is_gone, old)), within=RECOVER_SECONDS)
        if gone is None:
            left = [each.pid for each in old if not is_gone(each)]
            return self.tally.failed(kind, f"of what it had started, {left} are left")
        again = becomes_true(
            lambda: kind == ENGINE or len(self._running(kind)) >= before,
            within=RECOVER_SECONDS,
        )
        if again is None:  # an engine comes with the next question
            return self.tally.failed(kind, "was not started again")
        if not self._answers_again(kind):
            return None
        if kind in ("watchdog", BROKER, *SERVICES) and not self._is_known(kind):
            return self.tally.failed(kind, "run/runtime.json has another process id")
        return self.tally.well(kind, time.monotonic() - began)

    def _answers_again(self, kind: str) -> bool:
        answered = becomes_true(self.site.answers, within=RECOVER_SECONDS)
        if self.site.mill.process.poll() is not None:
            self.tally.failed(kind, f"the mill ended: {self.site.mill.log[-2000:]}")
        elif answered is None:
            self.tally.failed(kind, f"no chat is answered: {self.site.mill.log[-2000:]}")
        return answered is not None

    def _running(self, kind: str) -> list[psutil.Process]:
        return self.site.processes().get(BROKER if kind == "watchdog" else kind, [])

    def _is_known(self, kind: str) -> bool:
        def same() -> bool:
            name = "nats" if kind in ("watchdog", BROKER) else kind
            known = self.site.state.read_runtime().pids[name]
            return known in [process.pid for process in self._running(kind)]

        return becomes_true(same, within=10) is not None

    def freeze(self, kind: str) -> None:
        """Stop it as SIGSTOP does."""
        for process in self.site.processes()[kind]:
            process.suspend()

    def kill_mill(self, kind: str) -> None:
        """The next one is started at once."""
        old = [each for found in self.site.processes().values() for each in found]
        began = time.monotonic()
        self.site.mill.process.kill()
        self.site.mill.process.wait()
        self.site.up()
        if not self._answers_again(kind):
            return
        if left := [each for each in old if not is_gone(each)]:
            self.tally.failed(kind, f"{left} are left")
        else:
            self.tally.well(kind, time.monotonic() - began)

    def stop(self, kind: str) -> None:
        """Ctrl-C: the mill ends well, and nothing is left."""
        began = time.monotonic()
        status = self.site.mill.signal_until_ended(signal.SIGINT)
        left = self.site.processes()
        if status != 0 or left:
            self.tally.failed(kind, f"status {status}, left: {left}")
        else:
            self.tally.well(kind, time.monotonic() - began)


class Hunter:
    """Kills the first process of each of these kinds that it sees, one kind after the other."""

    def __init__(self, site: Site, kinds: list[str]) -> None:
        self.kinds = tuple(kinds)
        self.wanted = list(kinds)
        self.killed_at: dict[str, float] = {}
        self.site = site
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._hunt, daemon=True)

    def __enter__(self) -> "Hunter":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _hunt(self) -> None:
        while self.wanted and not self._over.wait(LOOK_SECONDS):
            if found := self.site.processes().get(self.wanted[0]):
                os.kill(found[0].pid, signal.SIGKILL)
                self.killed_at[self.wanted.pop(0)] = time.monotonic()
