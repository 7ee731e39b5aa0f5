"""The workers of a run: each in a place of its own, behind a proxy, followed when it dies."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from modelmill_service_kit.bus_access import Credential, NkeySeed

from tests.chaos.plan import Plan
from tests.chaos.tcp_proxy import TcpProxy

ROOT = Path(__file__).parents[2]
CHAIN_JOB = ROOT / "libs" / "jobs" / "tests" / "support"
LOOK_SECONDS = 0.05
STOP_SECONDS = 20.0


class Place:
    """Where one worker runs; when it is dead, the next one is started here."""

    def __init__(
        self, name: str, proxy: TcpProxy, credential: Credential, plan: Plan, folder: Path
    ) -> None:
        self.proxy = proxy
        self.busy = False
        """Whether a fault that lasts has not passed yet."""
        self._order_to_die = folder / f"{name}.die"
        self._log = folder / "workers.log"
        self._url = f"nats://127.0.0.1:{proxy.port}"
        self._command = self.command(plan, folder)
        self._environment = {**os.environ, **self.environment(credential, plan, folder)}
        self.process = self._start()

    def command(self, plan: Plan, folder: Path) -> Sequence[str]:
        """The module that is a worker, and its arguments."""
        options = {
            "url": self._url,
            "store": str(folder / "store"),
            "work_root": str(folder / "work"),
            "claim_seconds": plan.claim_seconds,
            "compare_and_set": plan.compare_and_set,
            "order_to_die": str(self._order_to_die),
        }
        return ("tests.chaos.worker", json.dumps(options))

    def environment(self, credential: Credential, plan: Plan, folder: Path) -> Mapping[str, str]:
        """What it needs besides ours."""
        path = {"PYTHONPATH": os.pathsep.join((str(ROOT), str(CHAIN_JOB)))}
        if isinstance(credential, NkeySeed):
            return path | {"NATS_NKEY_SEED_FILE": str(credential.file)}
        return path | {"NATS_TOKEN": credential}

    def holds(self, owner: str) -> bool:
        """Whether it is the owner of a claim, whose name ends with process id and a random word."""
        return owner.split("-")[-2:-1] == [str(self.process.pid)]

    def kill(self) -> None:
        """SIGKILL, and another worker."""
        self.end()
        self.process = self._start()

    def end(self) -> None:
        """SIGKILL, and nobody follows."""
        self.process.kill()
        self.process.wait()

    def freeze(self) -> "subprocess.Popen[bytes]":
        """SIGSTOP; the process, to be thawed if it is there still."""
        self.process.send_signal(signal.SIGSTOP)
        return self.process

    @property
    def shall_die(self) -> bool:
        """Whether the worker is to die after its next commit."""
        return self._order_to_die.exists()

    def order_to_die(self) -> None:
        """Let the worker die after its next commit."""
        self._order_to_die.touch()

    def take_back_order(self) -> None:
        """Let it live."""
        self._order_to_die.unlink(missing_ok=True)

    def follow(self) -> None:
        """Start another worker if this one is dead."""
        if self.process.poll() is not None:
            self.process = self._start()

    def _start(self) -> "subprocess.Popen[bytes]":
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", *self._command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env=self._environment,
            )


class Fleet:
    """All places."""

    def __init__(self, places: list[Place], log: Path) -> None:
        self.places = places
        self._log = log
        self._following = asyncio.create_task(self._follow_the_dead())

    @classmethod
    @asynccontextmanager
    async def running(
        cls,
        url: str,
        credential: Credential,
        plan: Plan,
        folder: Path,
        place_of: type[Place] = Place,
    ) -> AsyncIterator["Fleet"]:
        """Workers, started, each followed when it dies; all are dead when the block ends.

        Args:
            url: of the broker, which each reaches through a proxy of its own.
        """
        (folder / "store").mkdir(exist_ok=True)
        target = int(url.rpartition(":")[2])
        places: list[Place] = []
        async with AsyncExitStack() as stack:
            for number in range(plan.workers):
                proxy = await stack.enter_async_context(TcpProxy.running(target))
                place = place_of(f"worker-{number}", proxy, credential, plan, folder)
                stack.callback(place.end)
                places.append(place)
            fleet = cls(places, folder / "workers.log")
            stack.push_async_callback(fleet._stop_following)
            yield fleet

    async def stop(self) -> None:
        """SIGTERM; returns once none is left that could write something."""
        await self._stop_following()
        for place in self.places:
            place.process.terminate()
        for place in self.places:
            try:
                await asyncio.to_thread(place.process.wait, STOP_SECONDS)
            except subprocess.TimeoutExpired:
                place.end()

    def refused_zombies(self) -> int:
        """How often a worker found that its job had gone to another one."""
        return self._log.read_text(errors="replace").count("went to another worker")

    async def _follow_the_dead(self) -> None:
        while True:
            for place in self.places:
                place.follow()
            await asyncio.sleep(LOOK_SECONDS)

    async def _stop_following(self) -> None:
        self._following.cancel()
        await asyncio.gather(self._following, return_exceptions=True)
