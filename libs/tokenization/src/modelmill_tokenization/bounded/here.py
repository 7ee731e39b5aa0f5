"""A bounded process for who works by itself: the child of a job, or a command.

`BoundedTokenizer` is a `ChatTokenizer` whose foreign code runs in a process with limits.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from modelmill_service_kit.errors import InvalidInputError
from tokenizers import Tokenizer

from modelmill_tokenization.bounded.call import AskedProcess
from modelmill_tokenization.bounded.frames import unpacked
from modelmill_tokenization.bounded.limits import (
    SECONDS_A_CHARACTER,
    LimitError,
    Limits,
    limit_error,
)
from modelmill_tokenization.bounded.probes import PROBES
from modelmill_tokenization.bounded.process import Reply
from modelmill_tokenization.bounded.spawn import limit_of_death
from modelmill_tokenization.chat_tokenizer import ChatTokenizer
from modelmill_tokenization.conversations import (
    Conversation,
    ConversationEncoder,
    EncodedConversation,
)
from modelmill_tokenization.sections import SectionEncoder
from modelmill_tokenization.token_decoder import TokenDecoder, TokenizerFacts
from modelmill_tokenization.tool_turns import Function, Turn

MAX_STOPS = 3
"""Requests that may pass a limit; after them nothing is run any more."""
SECONDS_A_CONVERSATION = 0.002
HUNG_SECONDS = 60.0
"""By the clock a request may take so much more than its CPU time, which the kernel counts: machines
that work are busy, and only what hangs takes none."""
BATCH_CHARACTERS = 1_000_000
BATCH_TEXTS = 1000


class BoundedTokenizer(ChatTokenizer):
    """Renders and encodes in a process of its own, and decodes here; not for several threads.

    A request that passes a limit is a `LimitError`, and so is every one after three of them.
    """

    def __init__(self, folder: Path, limits: Limits = Limits()) -> None:  # noqa: B008  frozen
        """Load a folder.

        Raises:
            InvalidInputError: as `ChatTokenizer.load`, or it decodes in steps without bounds.
            LimitError: that took more than it may.
        """
        self.folder = folder
        self._limits = limits
        self._stops = 0
        self._process: AskedProcess | None = None
        loaded = self._loaded()
        facts = TokenizerFacts.from_json(loaded.said["value"])
        TokenDecoder.__init__(self, Tokenizer.from_str(loaded.body.decode()), facts)

    @classmethod
    def load(cls, folder: Path) -> "BoundedTokenizer":
        """As `ChatTokenizer.load`; raises as `BoundedTokenizer`."""
        return cls(folder)

    def close(self) -> None:
        """End the process; one that nobody uses any more ends by itself."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def render(
        self,
        messages: Sequence[Turn],
        *,
        add_generation_prompt: bool,
        tools: Sequence[Function] = (),
    ) -> str:
        reply = self._ask(
            "render",
            _characters(messages),
            turns=list(messages),
            tools=list(tools),
            add_generation_prompt=add_generation_prompt,
        )
        text: str = reply.said["value"]
        return text

    def encode(self, text: str) -> list[int]:
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        ids: list[list[int]] = []
        for batch in _batches(texts):
            reply = self._ask("encode", sum(map(len, batch)), texts=batch)
            ids += unpacked(reply.said["value"], reply.body)
        return ids

    def section_encoder(self) -> SectionEncoder:
        # Where to cut is said by the tokenizer's steps, which are not here.
        return SectionEncoder(self.encode_batch, None)

    def probe(self, name: str) -> bool:
        """As `probes.probe`."""
        took: bool = self._ask("probe", 0, name=name).said["value"]
        return took

    def encode_conversations(
        self, conversations: Sequence[Conversation]
    ) -> list[EncodedConversation | InvalidInputError]:
        """As `ConversationEncoder`, all in the process; of a batch that passes a limit each alone.

        Raises:
            LimitError: too many of them did.
        """
        if not conversations:
            return []
        characters = sum(_characters(one.messages) for one in conversations)
        try:
            reply = self._ask(
                "conversations",
                characters,
                extra_seconds=SECONDS_A_CONVERSATION * len(conversations),
                conversations=list(conversations),
            )
        except LimitError as error:
            if self._stops >= MAX_STOPS:
                raise
            if len(conversations) == 1:
                return [InvalidInputError(error.message)]
            self._stops -= 1  # whose fault it was is counted when it is found
            half = len(conversations) // 2
            first = self.encode_conversations(conversations[:half])
            return first + self.encode_conversations(conversations[half:])
        said, lengths = reply.said["value"]
        return [*_conversations(said, unpacked(lengths, reply.body))]

    def _ask(self, what: str, characters: int, *, extra_seconds: float = 0.0, **more: Any) -> Reply:
        if self._stops >= MAX_STOPS:
            raise LimitError(
                f"the model's chat template or tokenizer was stopped {MAX_STOPS} times at its "
                "limit and is not run any more. Import the model with a template and tokenizer "
                "that end"
            )
        if self._process is None:
            self._loaded()
        cpu_seconds = self._limits.cpu_seconds + SECONDS_A_CHARACTER * characters + extra_seconds
        return self._reply(what, cpu_seconds, self._limits.memory_bytes, more)

    def _loaded(self) -> Reply:
        """Have it loaded in a fresh process."""
        limits = self._limits
        self._process = AskedProcess()
        self._reply("read", limits.read_cpu_seconds, limits.read_memory_bytes, {})
        return self._reply("load", limits.cpu_seconds, limits.memory_bytes, {})

    def _reply(
        self, what: str, cpu_seconds: float, memory_bytes: int, more: Mapping[str, Any]
    ) -> Reply:
        assert self._process is not None
        head = {
            **more,
            "do": what,
            "folder": str(self.folder),
            "cpu_seconds": cpu_seconds,
            "memory_bytes": memory_bytes,
            "kept_bytes": self._limits.kept_bytes,
            "kept_folders": 1,
        }
        seconds = cpu_seconds + HUNG_SECONDS
        try:
            reply = self._process.ask(head, seconds)
        except TimeoutError:
            raise self._stopped(f"took more than {seconds:g} s") from None
        except OSError:
            status = self._process.kill()
            raise self._stopped(limit_of_death(status, cpu_seconds)) from None
        if "limit" in reply.said:
            raise self._stopped(f"needed more {reply.said['limit']} than it may have")
        if "errors" in reply.said:
            raise InvalidInputError(reply.said["errors"])
        return reply

    def _stopped(self, what: str) -> LimitError:
        self._stops += 1
        self.close()
        return limit_error(what)


class BoundedConversations(ConversationEncoder):
    """A `ConversationEncoder` whose work is all done in the tokenizer's process."""

    def __init__(self, tokenizer: BoundedTokenizer) -> None:
        self._bounded = tokenizer

    def __call__(
        self, conversations: Iterable[Conversation]
    ) -> list[EncodedConversation | InvalidInputError]:
        return self._bounded.encode_conversations([*conversations])


def _characters(messages: Sequence[Turn]) -> int:
    return sum(len(turn["content"]) for turn in messages)


def _batches(texts: Sequence[str]) -> Iterable[list[str]]:
    batch: list[str] = []
    characters = 0
    for text in texts:
        if batch and (characters + len(text) > BATCH_CHARACTERS or len(batch) == BATCH_TEXTS):
            yield batch
            batch, characters = [], 0
        batch.append(text)
        characters += len(text)
    if batch:
        yield batch


def _conversations(
    said: Sequence[Any], ids: Iterable[list[int]]
) -> Iterable[EncodedConversation | InvalidInputError]:
    lists = iter(ids)
    for one in said:
        if one and isinstance(one[0], str):
            yield InvalidInputError(one)
            continue
        spans, is_pair, unfound = one
        own = next(lists)
        rejected = next(lists) if is_pair else None
        yield EncodedConversation(own, [(first, last) for first, last in spans], rejected, unfound)


def try_tokenizer(folder: Path, limits: Limits | None = None) -> None:
    """Load, render, encode and decode with it, in a process that is bounded.

    Blocks for some tenths of a second. A template may refuse conversations with systems, tools or
    several turns, as those of good models do; it may not pass a limit on any.

    Raises:
        InvalidInputError: It cannot be loaded, takes not even the simplest conversation, or passes
            a limit; says on what.
    """
    on = "loading"
    try:
        tokenizer = BoundedTokenizer(folder, limits or Limits())
        try:
            for on in PROBES:
                tokenizer.probe(on)
        finally:
            tokenizer.close()
    except LimitError as error:
        raise InvalidInputError(
            f"the chat template or tokenizer {error.what} ({on}). Mend it and import again"
        ) from error
    except InvalidInputError as error:
        raise InvalidInputError(
            [f"the chat template or tokenizer cannot be used ({on}): {e}" for e in error.errors]
        ) from error
