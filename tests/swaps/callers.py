"""Callers that never stop, and what each of their answers was worth."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Protocol

from grpc.aio import AioRpcError
from modelmill_service_kit.errors import DomainError, UnavailableError

TOKENS = 48
TRIES = 40
"""Of a request that hears UNAVAILABLE, a tenth of a second apart at first."""
PAUSE_SECONDS = 0.1

Texts = Mapping[str, str]
"""Prompt to the whole answer."""


class Answers(Protocol):
    """A replica, as callers see it."""

    serving: bool

    def generate(self, model: str, text: str, tokens: int) -> AsyncIterator[Any]: ...


@dataclass
class Tally:
    """What came of the requests."""

    answered: Counter[str] = field(default_factory=Counter)
    """By version, whole and right."""
    failed: list[str] = field(default_factory=list)
    """Ended without an answer, by any error but UNAVAILABLE or after too many of those."""
    mixed: list[str] = field(default_factory=list)
    """Answers that are not what the version that they name says."""
    repeated: int = 0
    """Sent again: UNAVAILABLE before the first piece."""
    cut: int = 0
    """Sent again: UNAVAILABLE when a part of the text was there."""


class Callers:
    """Streams by an alias, as many at a time as asked for.

    Args:
        texts: what each version says, known beforehand; may grow.
    """

    def __init__(self, replicas: Sequence[Answers], alias: str, texts: Mapping[str, Texts]) -> None:
        self.tally = Tally()
        self._replicas = replicas
        self._alias = alias
        self._texts = texts
        self._turns = count()

    async def run(self, prompt: str) -> None:
        """One stream after the other, until cancelled."""
        while True:
            await self.ask(prompt)

    async def ask(self, prompt: str) -> None:
        """One request, until it is answered or lost."""
        for tried in range(TRIES):
            parts: list[str] = []
            try:
                version_id = await self._stream(prompt, parts)
            except UnavailableError:
                if parts:
                    self.tally.cut += 1
                else:
                    self.tally.repeated += 1
                await asyncio.sleep(PAUSE_SECONDS * min(1 + tried, 10))
            except (DomainError, AioRpcError) as error:
                self.tally.failed.append(repr(error))
                return
            else:
                self._judge(version_id, prompt, "".join(parts))
                return
        self.tally.failed.append(f"UNAVAILABLE {TRIES} times")

    async def _stream(self, prompt: str, parts: list[str]) -> str:
        serving = [replica for replica in self._replicas if replica.serving]
        if not serving:
            raise UnavailableError("no replica serves")
        replica = serving[next(self._turns) % len(serving)]
        async for message in replica.generate(self._alias, prompt, TOKENS):
            if message.text_delta:
                parts.append(message.text_delta)
            if message.HasField("end"):
                return str(message.end.version_id)
        raise UnavailableError("the stream ended without an end")

    def _judge(self, version_id: str, prompt: str, text: str) -> None:
        if self._texts.get(version_id, {}).get(prompt) == text:
            self.tally.answered[version_id] += 1
        else:
            self.tally.mixed.append(f"{version_id} to {prompt!r}: {text!r}")
