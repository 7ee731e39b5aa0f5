"""Answers for whom there is room: who must wait waits in turn, who would wait too long hears it."""

import asyncio
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Protocol

from gateway.domain.access import Caller
from gateway.domain.admission import Admission, Place
from gateway.domain.chat import ChatCall
from gateway.domain.deadline import ALLOWED_SECONDS, Deadline
from gateway.domain.errors import FullError
from gateway.guarding.guarded_answers import GuardedAnswers
from gateway.measures import ADMISSION_REFUSED, ADMISSION_WAITING

CHARS_A_TOKEN = 4
"""Of a prompt, roughly: what is held here is memory and time, not a bill."""
DEFAULT_TOKENS = 512
"""Of an answer to who sets no limit."""


class Answers(Protocol):
    """See `gateway.answers.answer_chat.AnswerChat`."""

    def __call__(
        self, call: ChatCall, caller: Caller, *, request_id: str, seconds: float | None = None
    ) -> AbstractAsyncContextManager[GuardedAnswers]: ...


def tokens_of(call: ChatCall) -> int:
    """What a call may come to, prompt and answers."""
    chars = sum([len(turn.content) for turn in call.turns])
    if call.tools:
        chars += sum(map(len, call.beside_contents))
    prompt = 1 + chars // CHARS_A_TOKEN
    return prompt + call.answers * (call.sampling.max_tokens or DEFAULT_TOKENS)


class AdmittedAnswers:
    """The same answers, as many at a time as there is room for."""

    def __init__(self, answers: Answers, admission: Admission, request_seconds: float) -> None:
        self._answers = answers
        self._admission = admission
        self._request_seconds = request_seconds

    def __call__(
        self, call: ChatCall, caller: Caller, *, request_id: str, seconds: float | None = None
    ) -> AbstractAsyncContextManager[GuardedAnswers]:
        """As `AnswerChat`'s, after a wait if need be.

        Raises:
            FullError: it would not begin, or not end, in time; nothing was begun.
        """
        return _Admitted(self, call, caller, request_id, seconds)

    async def place(
        self, call: ChatCall, tenant: str, seconds: float | None
    ) -> tuple[Place, float]:
        """A place whose turn has come, and the seconds that are left for the answer."""
        allowed = min(self._request_seconds, seconds or self._request_seconds)
        allowed = min(allowed, ALLOWED_SECONDS.get() or allowed)
        try:
            place = self._admission.ask(tenant, tokens_of(call), allowed)
        except FullError:
            ADMISSION_REFUSED.inc()
            raise
        if place.begun_at is not None:
            return place, allowed
        return place, await self._turn_of(place, allowed)

    async def _turn_of(self, place: Place, allowed: float) -> float:
        deadline = Deadline(allowed)
        turn = asyncio.get_running_loop().create_future()
        place.tell = lambda: None if turn.done() else turn.set_result(None)
        try:
            # Not `wait_for`: it forgets a cancellation that comes with the turn, and the answer
            # would be generated for a client who has left.
            with ADMISSION_WAITING.track_inprogress():
                async with asyncio.timeout(deadline.remaining()):
                    await turn
            return deadline.remaining()
        except TimeoutError as error:
            self._admission.leave(place)
            ADMISSION_REFUSED.inc()
            raise FullError("there was no room before the deadline; retry") from error
        except BaseException:
            self._admission.leave(place)
            raise

    def leave(self, place: Place, *, answered: bool) -> None:
        """Give it back."""
        self._admission.leave(place, answered=answered)

    def inner(
        self, call: ChatCall, caller: Caller, request_id: str, seconds: float
    ) -> AbstractAsyncContextManager[GuardedAnswers]:
        """The answers behind the queue."""
        return self._answers(call, caller, request_id=request_id, seconds=seconds)


class _Admitted(AbstractAsyncContextManager[GuardedAnswers]):
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

    async def __aenter__(self) -> GuardedAnswers:
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
