"""Vectors, verdicts and counts behind the queue that answers pass: they take the same room."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from modelmill_gateway.answers.admission_queue import AdmissionQueue, tokens_in
from modelmill_gateway.answers.admitted_answers import prompt_tokens
from modelmill_gateway.answers.count_prompt import CountedPrompt
from modelmill_gateway.answers.embed_texts import Embedded
from modelmill_gateway.domain.access import Caller
from modelmill_gateway.domain.chat import ChatCall
from modelmill_gateway.domain.verdict import InputVerdict


class Embeds(Protocol):
    """See `modelmill_gateway.answers.embed_texts.EmbedTexts`."""

    async def __call__(
        self,
        model: str,
        texts: Sequence[str],
        caller: Caller,
        *,
        request_id: str,
        seconds: float | None = None,
    ) -> Embedded: ...


class Judges(Protocol):
    """See `modelmill_gateway.guarding.judge_texts.JudgeTexts`."""

    async def __call__(
        self, texts: Sequence[str], caller: Caller, *, seconds: float | None = None
    ) -> list[InputVerdict]: ...


class Counts(Protocol):
    """See `modelmill_gateway.answers.count_prompt.CountPrompt`."""

    async def __call__(
        self, call: ChatCall, caller: Caller, *, seconds: float | None = None
    ) -> CountedPrompt: ...


@dataclass(frozen=True)
class AdmittedEmbeds:
    """EmbedTexts, as many at a time as there is room for."""

    embed_texts: Embeds
    room: AdmissionQueue

    async def __call__(
        self, model: str, texts: Sequence[str], caller: Caller, *, request_id: str
    ) -> Embedded:
        """As EmbedTexts does, after a wait if need be; raises FullError where it would be long."""
        async with self.room.held("embed", caller.tenant, tokens_in(texts)) as seconds:
            return await self.embed_texts(
                model, texts, caller, request_id=request_id, seconds=seconds
            )


@dataclass(frozen=True)
class AdmittedJudges:
    """JudgeTexts, as many at a time as there is room for."""

    judge_texts: Judges
    room: AdmissionQueue

    async def __call__(self, texts: Sequence[str], caller: Caller) -> list[InputVerdict]:
        """As JudgeTexts does, after a wait if need be; raises FullError where it would be long."""
        async with self.room.held("judge", caller.tenant, tokens_in(texts)) as seconds:
            return await self.judge_texts(texts, caller, seconds=seconds)


@dataclass(frozen=True)
class AdmittedCounts:
    """CountPrompt, as many at a time as there is room for."""

    count_prompt: Counts
    room: AdmissionQueue

    async def __call__(self, call: ChatCall, caller: Caller) -> CountedPrompt:
        """As CountPrompt does, after a wait if need be; raises FullError where it would be long."""
        async with self.room.held("count", caller.tenant, prompt_tokens(call)) as seconds:
            return await self.count_prompt(call, caller, seconds=seconds)
