"""Bounded processes for a service: who runs where, and what comes of those that pass a limit.

One process runs strangers: it loads what comes in, and runs versions that the tenant has not used
well before. What has done well is loaded in the others, which run the trusted alone. A request that
passes a limit costs its process, which is replaced while the others go on; one that takes long runs
on at a lower priority. Of several that wait, the tenant goes first whose requests took the least
beyond what requests should.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from modelmill_service_kit.errors import DomainError, InvalidInputError, OverloadedError

from modelmill_tokenization.bounded.frames import unpacked
from modelmill_tokenization.bounded.limits import Limits, limit_error
from modelmill_tokenization.bounded.opened import FolderEncoder, OpenTokenizer
from modelmill_tokenization.bounded.process import BoundedProcess, ProcessLostError, Reply
from modelmill_tokenization.bounded.refusals import (
    FREE_LOAD_SECONDS,
    PROCESS_SECONDS,
    Refusals,
    free_seconds,
)
from modelmill_tokenization.token_decoder import TokenDecoder, TokenizerFacts
from modelmill_tokenization.tool_turns import Function, Turn


class Observer(Protocol):
    """Hears what happens in the pool, for figures."""

    def running(self, processes: int) -> None:
        """So many processes are up."""

    def waited(self, seconds: float) -> None:
        """A request begins that waited so long for a process."""

    def worked(self, cpu_seconds: float) -> None:
        """Foreign code ran and took so much."""

    def stopped(self) -> None:
        """A request passed a limit, and its process was ended."""

    def refused(self) -> None:
        """A request was refused because of earlier ones."""


FEWEST = 3
"""One runs strangers, one may load again what is trusted, and one is left."""
NOBODY = ""
"""The tenant of what a pool does by itself."""
STRANGE = "strange"
"""A folder comes in, or a version runs that the tenant has not used well before."""
AGAIN = "again"
"""A folder that was used well is loaded in another process; one at a time."""
TRUSTED = "trusted"


@dataclass(eq=False)
class Slot:
    """A place for a process."""

    process: BoundedProcess | None = None
    """None while one is being started."""
    busy: str | None = None
    """The lane of what runs there."""
    tenant: str = NOBODY
    """Whose that is."""


@dataclass(eq=False)
class Job:
    """A request that waits or runs."""

    tenant: str
    folder: str
    asked: Mapping[str, Any]
    characters: int
    result: "asyncio.Future[Reply]"
    at: Slot | None
    """Where it must run; None: anywhere."""
    since: float
    deaths: int = 0
    """Processes that somebody killed while it was in them."""


def has(slot: Slot, folder: str) -> bool:
    """Whether a folder's tokenizer is loaded there."""
    return slot.process is not None and folder in slot.process.open


def lane_of(job: Job, slots: Sequence[Slot], refusals: Refusals) -> str:
    """Of which kind a request is."""
    if job.tenant != NOBODY and not refusals.is_proven(job.tenant, job.folder):
        return STRANGE
    known = job.tenant != NOBODY and any(has(slot, job.folder) for slot in slots[1:])
    return TRUSTED if known else AGAIN


def free_slot(job: Job, lane: str, slots: Sequence[Slot]) -> Slot | None:
    """Where it may begin now; the first slot is that of strangers."""
    free = [slot for slot in slots if slot.process is not None and slot.busy is None]
    if lane == STRANGE:
        return slots[0] if slots[0] in free else None
    # Where a stranger would wait for it comes last.
    free = [slot for slot in (*slots[1:], slots[0]) if slot in free]
    # Whatever one tenant asks for, it leaves a process to the trusted of others.
    others = [slot for slot in slots[1:] if slot.tenant != job.tenant or slot.busy is None]
    if job.tenant != NOBODY and len(others) < 2:
        free = [slot for slot in free if slot is slots[0]]
    if job.at is None:
        loaded = [slot for slot in free if has(slot, job.folder)]
        if loaded or lane == TRUSTED:
            return next(iter(loaded), None)
    if any(slot.busy == AGAIN for slot in slots):
        return None
    return next((slot for slot in free if job.at in (None, slot)), None)


log = logging.getLogger(__name__)

START_SECONDS = 60.0
AGAIN_SECONDS = 1.0
LOADS = ("read", "load")
"""Requests that bring a folder in."""
PROMPT_LOAD_SECONDS = 1.0
"""One of them that takes longer stands back: vocabularies of 150,000 tokens take that."""


@dataclass
class TokenizerPool:
    """Loads, renders and encodes in bounded processes; an async context.

    Args:
        processes: at least `FEWEST`.
    """

    limits: Limits
    observer: Observer
    processes: int = FEWEST
    clock: Callable[[], float] = time.monotonic
    _slots: list[Slot] = field(default_factory=list)
    _waiting: list[Job] = field(default_factory=list)
    _proven: OrderedDict[str, None] = field(default_factory=OrderedDict)
    """Folders that a tenant has used well, the one used last at the end."""
    _tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._refusals = Refusals(self.clock)
        self._loaded_last = False
        """What the last stranger that began did."""
        self._slots = [Slot() for _ in range(max(FEWEST, self.processes))]

    async def __aenter__(self) -> "TokenizerPool":
        starting = [self._start(self._start_at(slot)) for slot in self._slots]
        try:
            await asyncio.gather(*starting)
        except BaseException:
            await self.__aexit__()  # some may run already
            raise
        return self

    async def _start_at(self, slot: Slot) -> None:
        self._fill(slot, await BoundedProcess.start(START_SECONDS))

    async def __aexit__(self, *_: object) -> None:
        for task in (tasks := [*self._tasks]):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for job in self._waiting:
            job.result.cancel()
        up = [slot.process for slot in self._slots if slot.process is not None]
        await asyncio.gather(*(process.kill() for process in up))
        self.observer.running(0)

    async def open(self, tenant: str, folder: Path) -> OpenTokenizer:
        """Load a folder's tokenizer; what decodes its ids.

        Raises:
            InvalidInputError: it cannot be loaded, or the template or tokenizer may not come in.
            LimitError: that took more than it may.
            OverloadedError: it or the tenant is refused because of earlier requests.
        """
        name, load = str(folder), {"do": "load"}
        reply = await self._run(tenant, name, load, 0)
        facts = TokenizerFacts.from_json(reply.said["value"])
        decoder = await asyncio.to_thread(TokenDecoder.from_document, reply.body.decode(), facts)
        return OpenTokenizer(decoder, FolderEncoder(self, folder))

    async def encode_prompt(
        self, tenant: str, folder: Path, turns: Sequence[Turn], tools: Sequence[Function]
    ) -> list[int]:
        """As `ChatTokenizer.encode_prompt`; raises as `open`."""
        asked = {"do": "prompt", "turns": turns, "tools": tools}
        characters = sum(len(turn["content"]) for turn in turns)
        reply = await self._run(tenant, str(folder), asked, characters)
        return next(unpacked(reply.said["value"], reply.body))

    async def encode(self, tenant: str, folder: Path, texts: Sequence[str]) -> list[list[int]]:
        """As `ChatTokenizer.encode_batch`; raises as `open`."""
        asked = {"do": "encode", "texts": texts}
        reply = await self._run(tenant, str(folder), asked, sum(map(len, texts)))
        return [*unpacked(reply.said["value"], reply.body)]

    async def _run(
        self, tenant: str, folder: str, asked: Mapping[str, Any], characters: int
    ) -> Reply:
        try:
            self._refusals.check(tenant, folder)
        except DomainError:
            self.observer.refused()
            raise
        return await self._done(self._job(tenant, folder, asked, characters))

    def _job(
        self,
        tenant: str,
        folder: str,
        asked: Mapping[str, Any],
        characters: int,
        at: Slot | None = None,
    ) -> Job:
        result: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        return Job(tenant, folder, asked, characters, result, at, self.clock())

    async def _done(self, job: Job) -> Reply:
        self._waiting.append(job)
        self._dispatch()
        try:
            # A process goes on with what it has begun, also when nobody waits for it any more.
            return await job.result
        finally:
            if job in self._waiting:
                self._waiting.remove(job)

    async def _load_at(self, slot: Slot, folder: str) -> None:
        """Have a folder loaded that was loaded well elsewhere."""
        if not has(slot, folder):
            with suppress(DomainError):
                await self._done(self._job(NOBODY, folder, {"do": "load"}, 0, slot))

    def _dispatch(self) -> None:
        if len(self._waiting) > 1:
            self._waiting.sort(key=self._turn)
        for job in [*self._waiting]:
            lane = lane_of(job, self._slots, self._refusals)
            slot = free_slot(job, lane, self._slots)
            if slot is None:
                continue
            self._waiting.remove(job)
            slot.busy, slot.tenant = lane, job.tenant
            if lane == STRANGE:
                self._loaded_last = job.asked["do"] in LOADS
            assert slot.process is not None
            # The slot may lose it before the task begins.
            self._start(self._work(job, slot, slot.process))

    def _turn(self, job: Job) -> tuple[float, bool, float]:
        """Of those that took the same, loads and others take turns."""
        again = (job.asked["do"] in LOADS) == self._loaded_last
        return self._refusals.spent(job.tenant), again, job.since

    async def _work(self, job: Job, slot: Slot, process: BoundedProcess) -> None:
        try:
            reply = await self._asked(job, process, self.clock() - job.since)
        except ProcessLostError as lost:
            if lost.killed and job.deaths < len(self._slots):
                # Whoever ended one may have ended all of them: it is at fault in a new one only.
                job.deaths += 1
                self._waiting.append(job)
                return
            taken, free = lost.cpu_seconds, free_seconds(job.characters)
            self._refusals.charge(
                job.tenant, taken + (PROCESS_SECONDS if taken > free else 0), free
            )
            _tell(job, self._lost(job, lost.what))
        except DomainError as error:
            _tell(job, error)
        else:
            if not job.result.done():
                job.result.set_result(reply)
        finally:
            slot.busy = None
            self._dispatch()

    async def _asked(self, job: Job, process: BoundedProcess, waited: float) -> Reply:
        self.observer.waited(waited)
        if job.folder not in process.open:
            await self._said(job, process, {"do": "read"})
            if job.asked["do"] != "load":
                await self._said(job, process, {"do": "load"})
        return await self._said(job, process, job.asked)

    async def _said(self, job: Job, process: BoundedProcess, asked: Mapping[str, Any]) -> Reply:
        limits, reads, loads = self.limits, asked["do"] == "read", asked["do"] in LOADS
        cpu_seconds, seconds = limits.cpu_seconds, limits.seconds
        prompt_seconds = free_seconds(job.characters)
        if loads:
            cpu_seconds = limits.read_cpu_seconds if reads else cpu_seconds
            seconds, prompt_seconds = limits.read_seconds, PROMPT_LOAD_SECONDS
        elif not self._refusals.is_proven(job.tenant, job.folder):
            # Another stranger waits for it, and then its own time.
            cpu_seconds, seconds = limits.on_trial(job.characters), limits.seconds / 2
        head = {
            **asked,
            "folder": job.folder,
            "cpu_seconds": cpu_seconds,
            "memory_bytes": limits.read_memory_bytes if reads else limits.memory_bytes,
            "kept_bytes": limits.kept_bytes,
            "kept_folders": limits.kept_folders,
        }
        said = (reply := await process.ask(head, seconds, prompt_seconds)).said
        self.observer.worked(said["cpu"])
        free = FREE_LOAD_SECONDS if loads and "value" in said else free_seconds(job.characters)
        self._refusals.charge(job.tenant, said["cpu"], free)
        if "limit" in said:
            raise self._lost(job, f"needed more {said['limit']} than it may have")
        if "errors" in said:
            raise InvalidInputError(said["errors"])
        if not loads:
            self._keep(job)
        return reply

    def _keep(self, job: Job) -> None:
        """It did well: once that is so often enough, those that run the trusted load it."""
        is_new = self._refusals.kept(job.tenant, job.folder)
        if is_new or job.folder in self._proven:
            self._proven[job.folder] = None
            self._proven.move_to_end(job.folder)
        if len(self._proven) > self.limits.kept_folders:
            self._proven.popitem(last=False)
        if is_new:
            self._start(self._load_in_all(job.folder))

    async def _load_in_all(self, folder: str) -> None:
        for slot in self._slots[1:]:
            await self._load_at(slot, folder)

    def _lost(self, job: Job, what: str) -> DomainError:
        """What to tell who asked for something that passed a limit."""
        if not what:
            # Not unavailable: callers would turn away from the whole service.
            return OverloadedError("this machine had no time to render the request. Retry")
        self.observer.stopped()
        self._refusals.passed(job.tenant, job.folder)
        # A process that takes the place of one that it cost does not begin with it.
        self._proven.pop(job.folder, None)
        log.warning("a chat template or tokenizer of %s %s", job.folder, what)
        return limit_error(what)

    def _fill(self, slot: Slot, process: BoundedProcess) -> None:
        slot.process = process
        self._count()
        self._start(self._watch(slot, process))

    async def _watch(self, slot: Slot, process: BoundedProcess) -> None:
        """Once a process is gone, start another, and have it load what is proven."""
        await process.gone.wait()
        slot.process = None
        self._count()
        await process.kill()
        while slot.process is None:
            try:
                await self._start_at(slot)
            except (OSError, ProcessLostError) as error:
                log.warning("a process for chat templates did not start: %s", error)
                await asyncio.sleep(AGAIN_SECONDS)
        wanted = {job.folder for job in self._waiting}
        self._dispatch()
        if slot is not self._slots[0]:
            for folder in sorted(reversed(self._proven), key=lambda it: it not in wanted):
                await self._load_at(slot, folder)

    def _start(self, work: Any) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _count(self) -> None:
        self.observer.running(sum(slot.process is not None for slot in self._slots))


def _tell(job: Job, error: DomainError) -> None:
    if not job.result.done():
        job.result.set_exception(error)
