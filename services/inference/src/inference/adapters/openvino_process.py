"""The openvino engine, seen from this process: supervises the child that holds the pipeline.

Token ids cross the pipe; text is made here, off the engine's thread. When the child dies its
requests fail with UnavailableError and a new child is started, later and later if it keeps dying.
"""

import asyncio
import itertools
import logging
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from registry.materialised import in_use
from service_kit.errors import (
    DomainError,
    InvalidInputError,
    PreconditionError,
    UnavailableError,
)
from tokenization import ChatTokenizer

from inference.adapters.child_process import ChildProcess
from inference.adapters.gathered_answer import GatheredAnswer, News
from inference.domain.answer_text import AnswerText
from inference.domain.generation import FinishReason, GenerationRequest, TextPiece
from inference.measures import ENGINE_RESTARTS, ENGINE_TOKENS

log = logging.getLogger(__name__)

NAME = "openvino"
CHILD_MODULE = "inference.adapters.openvino_child"
RESTARTING = "engine is restarting; retry"
MAX_DEATHS = 5
"""Deaths without an answer in between, after which the engine gives up."""
FIRST_DELAY_SECONDS = 0.1
MAX_DELAY_SECONDS = 10.0
LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class PipelineOptions:
    """How pipelines are set up; the same for every version."""

    device: str = "CPU"
    cache_gigabytes: int = 1
    """Room for keys and values of all sequences, taken as it is needed."""
    max_sequences: int = 64
    """Requests in one batch; more wait inside the engine."""
    prefix_cache: bool = True
    """Safe because a pipeline here has one set of weights and no adapters to switch."""
    threads: int = 0
    """0 takes all cores."""
    properties: Mapping[str, str] = field(default_factory=dict)
    """OpenVINO properties, for example INFERENCE_PRECISION_HINT."""
    load_seconds: float = 300.0
    """A child that has not loaded by then is given up."""
    hang_seconds: float = 60.0
    """A child with requests in hand that says nothing for this long is replaced."""
    piece_seconds: float = 0.0
    """Of answers side by side, tokens are gathered for this long; see `GatheredAnswer`."""


@dataclass(frozen=True, slots=True)
class OpenVinoKind:
    """Makes openvino engines."""

    options: PipelineOptions
    name: str = NAME

    def can_run(self, form: str) -> bool:
        """Its own forms: openvino-int8, openvino-int4 and so on."""
        return form.startswith("openvino-")

    def engine_for(self, folder: Path, tokenizer: ChatTokenizer) -> "OpenVinoEngine":
        """An engine for the build in `folder`."""
        return OpenVinoEngine(folder, tokenizer, self.options)


class OpenVinoEngine:
    """`load_version.Engine` by OpenVINO GenAI in a child process."""

    def __init__(self, folder: Path, tokenizer: ChatTokenizer, options: PipelineOptions) -> None:
        self._options = options
        self._folder = folder
        self._held = ExitStack()
        self._tokenizer = tokenizer
        self._child: ChildProcess | None = None
        self._supervisor: asyncio.Task[None] | None = None
        # Ids are never used again, across restarts too: two live requests with one id would spoil
        # the pipeline, and late news of a dead child must find nobody.
        self._numbers = itertools.count(1)
        self._live: dict[int, GatheredAnswer] = {}
        self._gathering: asyncio.TimerHandle | None = None
        self._heard = time.monotonic()
        self._answered = False
        self._broken: asyncio.Queue[str] = asyncio.Queue()

    @property
    def pid(self) -> int | None:
        """Process id of the child; None while there is none."""
        return None if self._child is None else self._child.pid

    async def load(self) -> None:
        # A child that is started again, days later, still finds its files.
        self._held.enter_context(in_use(self._folder))
        self._child = await self._start_child()
        self._supervisor = asyncio.create_task(self._supervise(self._child))

    async def until_broken(self) -> str:
        return await self._broken.get()

    async def close(self) -> None:
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.gather(self._supervisor, return_exceptions=True)
        child, self._child = self._child, None
        self._fail_all("the engine was stopped; retry")
        if child is not None:
            await child.close()
        self._held.close()

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[TextPiece, None]:
        child = self._child
        if child is None:
            raise UnavailableError(RESTARTING)
        number = next(self._numbers)
        answer = GatheredAnswer(may_gather=not request.stop)
        if not self._live:
            self._heard = time.monotonic()
        self._live[number] = answer
        ended = False
        try:
            child.send({"add": self._add_message(number, request)})
            text = AnswerText(self._tokenizer, request.stop)
            finish_reason: FinishReason | None = None
            while finish_reason is None:
                heard = await answer.next_news()
                ended = heard.end is not None
                piece = _piece(text, heard)
                finish_reason = piece.finish_reason
                yield piece
        finally:
            del self._live[number]
            if not ended:
                child.send({"cancel": number})

    def _add_message(self, number: int, request: GenerationRequest) -> dict[str, Any]:
        message = asdict(request)
        del message["stop"]
        return message | {"id": number, "eos_ids": sorted(self._tokenizer.eos_ids)}

    async def _start_child(self) -> ChildProcess:
        child = await ChildProcess.start(CHILD_MODULE)
        try:
            child.send({"load": self._load_message()})
            async with asyncio.timeout(self._options.load_seconds):
                answer = await child.receive()
            if "refused" in answer:
                # The engine's words name folders of this machine: they are for the log alone.
                log.error("the engine refused %s: %s", self._folder.name, answer["refused"])
                raise PreconditionError("the engine refused the model; inference's log says why")
        except TimeoutError:
            await child.kill()
            raise UnavailableError(
                f"the engine did not load within {self._options.load_seconds:g} s"
            ) from None
        except BaseException:
            await child.kill()
            raise
        return child

    def _load_message(self) -> dict[str, Any]:
        options = self._options
        properties = dict(options.properties)
        if options.threads:
            properties["INFERENCE_NUM_THREADS"] = str(options.threads)
        return {
            "folder": str(self._folder),
            "device": options.device,
            "cache_gigabytes": options.cache_gigabytes,
            "max_sequences": options.max_sequences,
            "prefix_cache": options.prefix_cache,
            "properties": properties,
        }

    async def _supervise(self, child: ChildProcess) -> None:
        """Relay the child's news; replace it each time it dies, until it dies too often."""
        deaths = 0
        current: ChildProcess | None = child
        while True:
            if current is not None:
                reason = await self._relay(current)
                self._child = None
                self._fail_all(RESTARTING)
                status = await current.kill()
                log.error("engine process %d %s (status %d)", current.pid, reason, status)
                deaths, self._answered = (0 if self._answered else deaths), False
            deaths += 1
            if deaths > MAX_DEATHS:
                self._broken.put_nowait(f"the engine process died {deaths} times in a row")
                return
            await asyncio.sleep(min(FIRST_DELAY_SECONDS * 2 ** (deaths - 1), MAX_DELAY_SECONDS))
            ENGINE_RESTARTS.inc()
            current = self._child = await self._try_start()

    async def _try_start(self) -> ChildProcess | None:
        try:
            return await self._start_child()
        except (DomainError, OSError) as error:
            log.error("the engine process did not come back: %s", error)
            return None

    async def _relay(self, child: ChildProcess) -> str:
        """Hand out the child's news until it is of no use any more; returns why."""
        while True:
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    message = await child.receive()
            except TimeoutError:
                silent = time.monotonic() - self._heard
                if self._live and silent > self._options.hang_seconds:
                    return f"said nothing for {silent:.0f} s"
                continue
            except UnavailableError:
                return "ended"
            self._heard = time.monotonic()
            self._hand_out(message)

    def _hand_out(self, message: Mapping[str, Any]) -> None:
        # A single answer has its reader's whole attention: nothing is gained by gathering.
        gather = self._options.piece_seconds > 0 and len(self._live) > 1
        waiting = False
        for number, tokens, end in message.get("tokens", ()):
            ENGINE_TOKENS.labels(engine=NAME).inc(len(tokens))
            self._answered = True
            if number in self._live:
                waiting |= self._live[number].add(tokens, end, gather=gather)
        if waiting and self._gathering is None:
            loop = asyncio.get_running_loop()
            self._gathering = loop.call_later(self._options.piece_seconds, self._hand_on_all)
        if "rejected" in message:
            number, reason = message["rejected"]
            # Our own checks should have caught it; the engine's words are for the log alone.
            log.error("the engine rejected a request: %s", reason)
            if number in self._live:
                error = InvalidInputError("the engine cannot run these options or this prompt")
                self._live[number].fail(error)

    def _hand_on_all(self) -> None:
        """All at one time, so that the services behind wake up once for all of them."""
        self._gathering = None
        for answer in self._live.values():
            answer.hand_on()

    def _fail_all(self, message: str) -> None:
        for answer in self._live.values():
            answer.fail(UnavailableError(message))


def _piece(text: AnswerText, heard: News) -> TextPiece:
    """The text of some news.

    Raises:
        PreconditionError: the engine gave the request up for want of room.
    """
    out = text.push(heard.tokens)
    count = len(heard.tokens)
    if text.stopped:
        return TextPiece(out, count, "stop")
    if heard.end is None:
        return TextPiece(out, count)
    if heard.end == "no_room":
        raise PreconditionError("the engine's cache has no room for a request of this size")
    out += text.finish()
    return TextPiece(out, count, "stop" if text.stopped or heard.end == "stop" else "length")
