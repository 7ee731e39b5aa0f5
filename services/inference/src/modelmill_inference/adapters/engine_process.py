"""Runs an engine in a supervised child process.

The pipe carries token ids; text is decoded in this process. When the child dies its requests fail
with EngineRestartingError, and a new child is started with exponential backoff.
"""

import asyncio
import itertools
import logging
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from modelmill_registry.materialised import in_use
from modelmill_service_kit.child_process import GRACE_SECONDS, ChildProcess
from modelmill_service_kit.core_waits import CoreWaits
from modelmill_service_kit.errors import (
    DomainError,
    InvalidInputError,
    PreconditionError,
    UnavailableError,
)
from modelmill_service_kit.machine_size import resident_memory

from modelmill_inference.adapters.restart_backoff import MAX_FAILURES, RestartBackoff
from modelmill_inference.adapters.spare_child import SpareChild
from modelmill_inference.domain.generation import (
    Abilities,
    ChosenToken,
    ContinuationScore,
    FinishReason,
    GenerationRequest,
    LikelyToken,
    ScoreRequest,
    TokenPiece,
)
from modelmill_inference.engine import EngineRestartingError
from modelmill_inference.metrics import ENGINE_RESTARTS, ENGINE_TOKENS

_ENDS: dict[str, FinishReason] = {"stop": "stop", "length": "length"}
log = logging.getLogger(__name__)
POLL_SECONDS = 1.0
EMBED_AT_A_TIME = 16
"""Texts per message: more vectors might exceed a message, and other requests run in between."""


class EnginePeer(Protocol):
    """A child process, or a remote model with the same protocol."""

    @property
    def pid(self) -> int | None:
        """Process id; None if it is not a local process."""

    def send(self, message: Mapping[str, Any]) -> None:
        """Queue a message; it is dropped if the peer has ended."""

    async def receive(self) -> dict[str, Any]:
        """The peer's next message. Raises UnavailableError if it has ended."""

    async def close(self, grace_seconds: float = 0.0) -> int:
        """Stop it; returns the exit status.

        Args:
            grace_seconds: time for a graceful exit.
        """


@dataclass(slots=True)
class EngineUpdate:
    """Tokens that the child reported for one request."""

    tokens: list[int] = field(default_factory=list)
    end: str | None = None
    chosen: list[Any] = field(default_factory=list)
    """Log-probabilities per token, as in `children.runner`; empty if not requested."""
    accepted: int = 0
    """Of the tokens, those that were drafted."""


class UpdateQueue:
    """Unread updates of one request."""

    def __init__(self) -> None:
        self._updates: asyncio.Queue[EngineUpdate | DomainError] = asyncio.Queue()

    def add(
        self, tokens: Sequence[int], end: str | None, chosen: Sequence[Any] | None, accepted: int
    ) -> None:
        """Add an update of the child."""
        self._updates.put_nowait(EngineUpdate(list(tokens), end, list(chosen or ()), accepted))

    def fail(self, error: DomainError) -> None:
        """End with an error."""
        self._updates.put_nowait(error)

    async def next_update(self) -> EngineUpdate:
        """All unread updates as one: a slow reader gets fewer, longer pieces."""
        update = await self._updates.get()
        if isinstance(update, DomainError):
            raise update
        while update.end is None and not self._updates.empty():
            more = self._updates.get_nowait()
            if isinstance(more, DomainError):
                raise more
            update = EngineUpdate(
                update.tokens + more.tokens,
                more.end,
                update.chosen + more.chosen,
                update.accepted + more.accepted,
            )
        return update


def piece_of(update: EngineUpdate) -> TokenPiece:
    """Convert an update to a piece.

    Raises:
        PreconditionError: the engine's cache has no space for the request.
        InvalidInputError: the grammar allows no token of the model.
    """
    if update.end == "dead_end":
        raise InvalidInputError("nothing that this model can say fits the constraint")
    if update.end == "no_room":
        raise PreconditionError("the engine's cache has no room for a request of this size")
    finish_reason = None if update.end is None else _ENDS[update.end]
    chosen = tuple(map(_chosen, update.chosen))
    return TokenPiece(tuple(update.tokens), finish_reason, chosen, update.accepted)


def _chosen(row: Any) -> ChosenToken:
    logprob, alternatives = row
    return ChosenToken(logprob, tuple(LikelyToken(*pair) for pair in alternatives))


def are_installed(packages: tuple[str, ...]) -> bool:
    """Whether what a child imports is installed; nothing is imported."""
    return all(find_spec(name) is not None for name in packages)


@dataclass(frozen=True, slots=True)
class RoundRobinOptions:
    """Options of the engines whose child is a `children.round_robin.RoundRobinRunner`."""

    threads: int = 0
    """0 for the library's default."""
    cache_bytes: int = 1 << 30
    """Key-value cache of all requests; further requests wait."""
    load_seconds: float = 300.0
    """Load timeout."""
    hang_seconds: float = 60.0
    """A child with running requests that is silent for this long is replaced."""
    piece_seconds: float = 0.0
    """Batching interval of tokens; see `children.runner.UpdateBatcher`."""


@dataclass(frozen=True, slots=True)
class ProcessPlan:
    """Module, load message and time limits of a child process."""

    name: str
    """Name of the engine kind."""
    module: str
    """Module of `modelmill_inference.children`."""
    folder: Path
    """Folder of the model; protected from deletion while the engine is open."""
    load: Mapping[str, Any]
    """Content of the load message, without folders."""
    abilities: Abilities
    end_tokens: frozenset[int]
    adapter: Path | None = None
    """Folder of an adapter; protected like the model's."""
    load_seconds: float = 300.0
    """Load timeout."""
    hang_seconds: float = 60.0
    """A child with running requests that is silent for this long is replaced."""
    max_failures: int = MAX_FAILURES
    """Consecutive failures without an answer, after which the engine is given up."""
    piece_seconds: float = 0.0
    """Batching interval of tokens; see `children.runner.UpdateBatcher`."""

    spare: SpareChild | None = None
    """Pre-warmed child of the same module, used instead of a new one."""

    async def start(self) -> EnginePeer:
        """Start the peer; it loads later."""
        warm = None if self.spare is None else await self.spare.take()
        return warm or await ChildProcess.start(self.module)


class EngineProcess:
    """`engine.Engine` by a supervised child process."""

    def __init__(self, plan: ProcessPlan) -> None:
        self._plan = plan
        self._abilities = plan.abilities
        self._held = ExitStack()
        self._child: EnginePeer | None = None
        self._supervisor: asyncio.Task[None] | None = None
        # Ids are never reused, even across restarts: duplicate ids would corrupt the pipeline, and
        # late updates of a dead child must not reach another request.
        self._numbers = itertools.count(1)
        self._live: dict[int, UpdateQueue] = {}
        self._asked: dict[int, asyncio.Future[Any]] = {}
        """Pending scores and embeddings."""
        self._last_message = time.monotonic()
        self._answered = False
        self._broken: asyncio.Queue[str] = asyncio.Queue()

    @property
    def abilities(self) -> Abilities:
        return self._abilities

    @property
    def pid(self) -> int | None:
        """Process id of the child; None while it is restarting."""
        return None if self._child is None else self._child.pid

    def resident_bytes(self) -> int:
        pid = self.pid
        return 0 if pid is None else resident_memory(pid)

    async def load(self) -> None:
        # A child that restarts days later must still find its files.
        self._held.enter_context(in_use(self._plan.folder))
        if self._plan.adapter is not None:
            self._held.enter_context(in_use(self._plan.adapter))
        self._child = await self._start_child()
        self._supervisor = asyncio.create_task(self._supervise(self._child))

    async def until_broken(self) -> str:
        return await self._broken.get()

    async def close(self) -> None:
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.gather(self._supervisor, return_exceptions=True)
        child, self._child = self._child, None
        self._fail_all(lambda: UnavailableError("the engine was stopped. Retry"))
        if child is not None:
            await child.close(GRACE_SECONDS)
        self._held.close()

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[TokenPiece, None]:
        child, number = self._running_child(), next(self._numbers)
        answer = UpdateQueue()
        self._live[number] = answer
        ended = False
        try:
            eos_ids = sorted(self._plan.end_tokens)
            child.send({"add": asdict(request) | {"id": number, "eos_ids": eos_ids}})
            while not ended:
                update = await answer.next_update()
                ended = update.end is not None
                yield piece_of(update)
        finally:
            del self._live[number]
            if not ended:
                child.send({"cancel": number})

    async def score(self, request: ScoreRequest) -> list[ContinuationScore]:
        asked = {"prompt": request.prompt, "continuations": request.continuations}
        return [ContinuationScore(*row) for row in await self._ask("score", asked)]

    async def embed(self, texts: Sequence[Sequence[int]]) -> list[list[float]]:
        vectors: list[list[float]] = []
        for start in range(0, len(texts), EMBED_AT_A_TIME):
            some = texts[start : start + EMBED_AT_A_TIME]
            vectors += await self._ask("embed", {"texts": some})
        return vectors

    async def _ask(self, order: str, body: Mapping[str, Any]) -> Any:
        child, number = self._running_child(), next(self._numbers)
        answer = self._asked[number] = asyncio.get_running_loop().create_future()
        try:
            child.send({order: {"id": number, **body}})
            return await answer
        finally:
            del self._asked[number]
            if answer.cancelled():
                child.send({"cancel": number})

    def _running_child(self) -> EnginePeer:
        if self._child is None:
            if self._supervisor is None or self._supervisor.done():
                raise UnavailableError("the engine was stopped. Retry")
            raise EngineRestartingError
        if not self._live and not self._asked:
            self._last_message = time.monotonic()
        return self._child

    async def _start_child(self) -> EnginePeer:
        plan = self._plan
        child = await plan.start()
        try:
            adapter = None if plan.adapter is None else str(plan.adapter)
            folders = {"folder": str(plan.folder), "adapter": adapter}
            pieces = {"piece_seconds": plan.piece_seconds}
            child.send({"load": {**folders, **pieces, **plan.load}})
            async with asyncio.timeout(plan.load_seconds):
                answer = await child.receive()
            if "refused" in answer:
                # The engine's message names local folders: log only.
                log.error("the engine refused %s: %s", plan.folder.name, answer["refused"])
                raise PreconditionError("the engine refused the model; inference's log says why")
            if "abilities" in answer:
                self._abilities = Abilities(**answer["abilities"])
        except TimeoutError:
            await child.close()
            raise UnavailableError(
                f"the engine did not load within {plan.load_seconds:g} s"
            ) from None
        except BaseException:
            await child.close()
            raise
        return child

    async def _supervise(self, child: EnginePeer) -> None:
        """Relay the child's messages, and restart it until it fails too often."""
        backoff = RestartBackoff(self._plan.max_failures)
        current: EnginePeer | None = child
        while True:
            answered = False
            if current is not None:
                reason = await self._relay(current)
                self._child = None
                self._fail_all(lambda: EngineRestartingError(died_under_it=True))
                status = await current.close()
                log.error("engine process %s %s (status %d)", current.pid, reason, status)
                answered, self._answered = self._answered, False
            delay = backoff.add(answered=answered)
            if delay is None:
                self._broken.put_nowait(f"the engine process {backoff}")
                return
            await asyncio.sleep(delay)
            ENGINE_RESTARTS.inc()
            current = self._child = await self._try_start()

    async def _try_start(self) -> EnginePeer | None:
        try:
            return await self._start_child()
        except (DomainError, OSError) as error:
            log.error("the engine process did not restart: %s", error)
            return None

    async def _relay(self, child: EnginePeer) -> str:
        """Dispatch the child's messages until it ends or hangs; returns the reason.

        It does not hang while it waits for a core.
        """
        waits = CoreWaits(child.pid)
        while True:
            try:
                async with asyncio.timeout(POLL_SECONDS):
                    message = await child.receive()
            except TimeoutError:
                now, excused = time.monotonic(), waits.since_last_look()
                self._last_message = min(self._last_message + excused, now)
                silent = now - self._last_message
                if (self._live or self._asked) and silent > self._plan.hang_seconds:
                    return f"was silent for {silent:.0f} s"
                continue
            except UnavailableError:
                return "ended"
            self._last_message = time.monotonic()
            self._dispatch(message)

    def _dispatch(self, message: Mapping[str, Any]) -> None:
        if "tokens" in message:
            self._dispatch_tokens(message["tokens"])
        elif "result" in message:
            number, result = message["result"]
            self._answered = True
            if number in self._asked and not self._asked[number].done():
                self._asked[number].set_result(result)
        elif "unavailable" in message:
            number, reason = message["unavailable"]
            self._fail(number, UnavailableError(reason))
        elif "rejected" in message:
            number, reason = message["rejected"]
            # Validation should have caught it; the engine's message is for the log only.
            log.error("the engine rejected a request: %s", reason)
            error = InvalidInputError("the engine cannot run these options or this prompt")
            self._fail(number, error)

    def _dispatch_tokens(self, rows: Sequence[Sequence[Any]]) -> None:
        for number, tokens, end, chosen, accepted in rows:
            ENGINE_TOKENS.labels(engine=self._plan.name).inc(len(tokens))
            self._answered = True
            if number in self._live:
                self._live[number].add(tokens, end, chosen, accepted)

    def _fail_all(self, error: Callable[[], DomainError]) -> None:
        for number in [*self._live, *self._asked]:
            self._fail(number, error())

    def _fail(self, number: int, error: DomainError) -> None:
        if number in self._live:
            self._live[number].fail(error)
        elif number in self._asked and not self._asked[number].done():
            self._asked[number].set_exception(error)
