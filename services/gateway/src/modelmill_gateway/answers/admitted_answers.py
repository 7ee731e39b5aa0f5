"""Answers for whom there is room: who must wait waits in turn, who would wait too long hears it."""

from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Protocol

from modelmill_gateway.answers.admission_queue import CHARS_A_TOKEN, AdmissionQueue
from modelmill_gateway.domain.access import Caller
from modelmill_gateway.domain.admission import QueueTicket
from modelmill_gateway.domain.chat import ChatCall
from modelmill_gateway.guarding.filtered_answers import FilteredAnswers

DEFAULT_TOKENS = 512
"""Of an answer to who sets no limit."""


class Answers(Protocol):
    """See `modelmill_gateway.answers.answer_chat.AnswerChat`."""

    def __call__(
        self, call: ChatCall, caller: Caller, *, request_id: str, seconds: float | None = None
    ) -> AbstractAsyncContextManager[FilteredAnswers]: ...


def prompt_tokens(call: ChatCall) -> int:
    """What a call's prompt may come to."""
    chars = sum([len(turn.content) for turn in call.turns])
    if call.tools:
        chars += sum(map(len, call.beside_contents))
    return 1 + chars // CHARS_A_TOKEN


def tokens_of(call: ChatCall) -> int:
    """What a call may come to, prompt and answers."""
    return prompt_tokens(call) + call.answers * (call.sampling.max_tokens or DEFAULT_TOKENS)


class AdmittedAnswers:
    """The same answers, as many at a time as there is room for."""

    def __init__(self, answers: Answers, room: AdmissionQueue) -> None:
        self._answers = answers
        self._room = room

    def __call__(
        self, call: ChatCall, caller: Caller, *, request_id: str, seconds: float | None = None
    ) -> AbstractAsyncContextManager[FilteredAnswers]:
        """As `AnswerChat`'s, after a wait if need be.

        Raises:
            FullError: it would not begin, or not end, in time; nothing was begun.
        """
        return _Admitted(self, call, caller, request_id, seconds)

    async def place(
        self, call: ChatCall, tenant: str, seconds: float | None
    ) -> tuple[QueueTicket, float]:
        """A place whose turn has come, and the seconds that are left for the answer."""
        return await self._room.place("answer", tenant, tokens_of(call), seconds)

    def leave(self, place: QueueTicket, *, answered: bool) -> None:
        """Give it back."""
        self._room.leave(place, answered=answered)

    def inner(
        self, call: ChatCall, caller: Caller, request_id: str, seconds: float
    ) -> AbstractAsyncContextManager[FilteredAnswers]:
        """The answers behind the queue."""
        return self._answers(call, caller, request_id=request_id, seconds=seconds)


class _Admitted(AbstractAsyncContextManager[FilteredAnswers]):
    """One request; a class, because it stands before every answer and a generator costs more."""

    def __init__(
        self,
        admitted: AdmittedAnswers,
        call: ChatCall,
        caller: Caller,
        request_id: str,
        seconds: float | None,
    ) -> None:
        self._admitted = admitted
        self._asked = (call, caller, request_id)
        self._seconds = seconds

    async def __aenter__(self) -> FilteredAnswers:
        call, caller, request_id = self._asked
        self._place, seconds = await self._admitted.place(call, caller.tenant, self._seconds)
        try:
            self._inner = self._admitted.inner(call, caller, request_id, seconds)
            return await self._inner.__aenter__()
        except BaseException:
            self._admitted.leave(self._place, answered=False)
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        try:
            return await self._inner.__aexit__(kind, error, traceback)
        finally:
            self._admitted.leave(self._place, answered=error is None)
