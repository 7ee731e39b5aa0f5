"""Swaps and restarts while callers never stop."""

import asyncio
import random
import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from modelmill.registry.v1.model_events_pb2 import ModelReady
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import MODEL_READY
from modelmill_registry.aliases import AliasBook
from modelmill_registry.store import FolderStore
from modelmill_service_kit.errors import NotFoundError, UnavailableError
from modelmill_testkit.nats_server import run_nats
from modelmill_testkit.waiting import eventually

from tests.swaps.callers import TOKENS, Callers, Tally
from tests.swaps.replicas import TENANT, Replica, running_replicas

ALIAS = "kinds"
FORM = "openvino-int8"
PROMPTS = ("the order of birth", "a small animal", "food and place", "who came first")
IN_FLIGHT = 8
ROLLBACK_EVERY = 5
"""One swap in so many goes back to the version before, which is still loaded."""
SWAP_SECONDS = 90.0

Value = TypeVar("Value")


@dataclass
class Run:
    """What a drill came to."""

    tally: Tally
    swaps: list[float] = field(default_factory=list)
    """Seconds from asking for a version that nobody has loaded until every replica answers by it:
    the load on one replica, the move, and the load on the others."""
    moves: list[float] = field(default_factory=list)
    """Of these, those from the move on."""
    rollbacks: list[float] = field(default_factory=list)
    """Seconds from the move back until every replica answers by the version before."""
    engine_kills: int = 0
    replica_kills: int = 0
    restarts: list[float] = field(default_factory=list)
    """Seconds from the start of a killed replica until it says SERVING."""
    seconds: float = 0.0


class Drill:
    """Two builds that answer differently, one alias, some replicas.

    Args:
        builds: folders of the builds.
    """

    def __init__(self, folder: Path, builds: Sequence[Path], *, seed: int = 1) -> None:
        self._folder = folder
        self._builds = builds
        self._random = random.Random(seed)
        self._texts: dict[str, dict[str, str]] = {}
        self._said: list[dict[str, str]] = []
        """By each of the builds."""
        self._past: list[str] = []
        """Versions that the alias named, the last one last."""

    async def run(self, *, swaps: int, restarts: int, tell: Callable[[int], None]) -> Run:
        """All of it; `tell` hears how many swaps are done."""
        async with AsyncExitStack() as stack:
            nats = await stack.enter_async_context(run_nats(self._folder))
            self._bus = await stack.enter_async_context(
                Bus.connect(nats.url, nats.token, name="test")
            )
            self._book = AliasBook(self._bus)
            store = FolderStore(self._folder / "artifacts")
            self._digests = [
                store.commit(build, kind="model", form=FORM).digest for build in self._builds
            ]
            self._replicas = await stack.enter_async_context(running_replicas(nats, self._folder))
            callers = Callers(self._replicas, ALIAS, self._texts)
            self._run = Run(callers.tally)
            await self._begin()
            loop = asyncio.get_running_loop()
            began = loop.time()
            await self._under_load(callers, swaps, restarts, tell)
            self._run.seconds = loop.time() - began
            return self._run

    async def _under_load(
        self, callers: Callers, swaps: int, restarts: int, tell: Callable[[int], None]
    ) -> None:
        strikes = {(number + 1) * swaps // (restarts + 1): number for number in range(restarts)}
        async with asyncio.TaskGroup() as tasks:
            load = [
                tasks.create_task(callers.run(PROMPTS[number % len(PROMPTS)]))
                for number in range(IN_FLIGHT)
            ]
            strike: asyncio.Task[None] | None = None
            for number in range(swaps):
                if number in strikes:
                    # The next swaps go on meanwhile.
                    strike = tasks.create_task(self._strike(strikes[number]))
                if number % ROLLBACK_EVERY == ROLLBACK_EVERY - 1:
                    await self._roll_back()
                else:
                    await self._swap(self._digests[number % 2])
                tell(number + 1)
            if strike is not None:
                await strike
            await self._answered_everywhere(self._past[-1])
            for caller in load:
                caller.cancel()

    async def _begin(self) -> None:
        for digest in self._digests:
            version_id = await self._announce(digest)
            await self._load(self._replicas[0], version_id)
            self._said.append({p: await self._text(version_id, p) for p in PROMPTS})
            self._texts[version_id] = self._said[-1]
        if any(self._said[0][prompt] == self._said[1][prompt] for prompt in PROMPTS):
            raise ValueError("both builds say the same: a mixed answer would not be seen")
        await self._move(version_id)
        await self._answered_everywhere(version_id)

    async def _text(self, version_id: str, prompt: str) -> str:
        messages = self._replicas[0].generate(version_id, prompt, TOKENS)
        return "".join([message.text_delta async for message in messages])

    async def _swap(self, digest: str) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        version_id = await self._announce(digest)
        self._texts[version_id] = self._said[self._digests.index(digest)]
        await self._retried(lambda: self._load(self._a_replica(), version_id))
        moved = loop.time()
        await self._move(version_id)
        await self._answered_everywhere(version_id)
        self._run.swaps.append(loop.time() - began)
        self._run.moves.append(loop.time() - moved)

    async def _roll_back(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await self._move(self._past[-2])
        await self._answered_everywhere(self._past[-1])
        self._run.rollbacks.append(loop.time() - began)

    async def _strike(self, number: int) -> None:
        """By turns the engines of a replica, and a replica with its engines."""
        replica = self._a_replica()
        if number % 2 == 0:
            self._run.engine_kills += replica.kill_engines()
            return
        await replica.kill()
        self._run.replica_kills += 1
        self._run.restarts.append(await replica.start())

    def _a_replica(self) -> Replica:
        return self._random.choice([replica for replica in self._replicas if replica.serving])

    async def _announce(self, digest: str) -> str:
        version_id = f"mv-{uuid.uuid4().hex}"
        ready = ModelReady(
            version_id=version_id, tenant=TENANT, form=FORM, digest=digest, context_tokens=512
        )
        await self._bus.publish(MODEL_READY, ready, msg_id=version_id)
        return version_id

    async def _load(self, replica: Replica, version_id: str) -> None:
        async def loaded() -> bool:
            try:
                await replica.load(version_id)
            except NotFoundError:  # it has not heard of it yet
                return False
            return True

        await eventually(loaded, within=SWAP_SECONDS)

    async def _retried(self, ask: Callable[[], Awaitable[Value]]) -> Value:
        while True:
            try:
                return await ask()
            except UnavailableError:  # the replica was struck
                await asyncio.sleep(0.1)

    async def _move(self, version_id: str) -> None:
        await self._book.move(TENANT, ALIAS, version_id, moved_by="drill")
        self._past.append(version_id)

    async def _answered_everywhere(self, version_id: str) -> None:
        async def by_all() -> bool:
            serving = [replica for replica in self._replicas if replica.serving]
            versions = [await replica.version_of(ALIAS) for replica in serving]
            return bool(serving) and set(versions) == {version_id}

        await eventually(by_all, within=SWAP_SECONDS)
