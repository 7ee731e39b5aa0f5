"""What one limited request uses, counted while it is answered."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from modelmill_service_kit.errors import DomainError

from modelmill_gateway.domain.chat import ChatCall, Piece, Usage
from modelmill_gateway.domain.ledger.account import Account
from modelmill_gateway.domain.ledger.amounts import Amounts
from modelmill_gateway.domain.ledger.slots import Slot
from modelmill_gateway.domain.models import AskedModel
from modelmill_gateway.metrics import QUOTA_BOUNDS_BROKEN, QUOTA_SETTLED
from modelmill_gateway.ports import Engines

METER: ContextVar["Meter | None"] = ContextVar("meter", default=None)
"""Of the request that this task answers; None where nothing limits it."""


class Meter:
    """Tells the journal how far a request has come, and its accounts how much it used."""

    def __init__(
        self, accounts: list[Account], need: Amounts, slot: Slot, clock: Callable[[], int]
    ) -> None:
        self.accounts = accounts
        self._need = need
        self._slot = slot
        self._clock = clock
        self._answers: dict[int, int] = {}
        self._is_open = True
        self._settled = Usage(0, 0)

    def asked(self) -> None:
        """An engine is about to be asked: from now on the prompt counts."""
        if self._is_open:
            self._slot.asked()

    def refused(self) -> None:
        """The engine did not begin: the prompt counts no more."""
        if self._is_open:
            self._slot.unasked()

    def prompt(self, tokens: int) -> None:
        """The engine has told how long the prompt is."""
        if self._is_open:
            self._slot.prompt(tokens)

    def delivered(self, answer: int, tokens: int) -> None:
        """The answer of that number has so many tokens by now."""
        if self._is_open:
            self._answers[answer] = tokens
            answers = self._answers.values()
            self._slot.delivered(tokens if len(answers) == 1 else sum(answers))

    @property
    def used(self) -> Usage:
        """What would be settled now: of a prompt that was asked and not counted, its bound."""
        return Usage(*self._slot.used) if self._is_open else self._settled

    def settle(self) -> None:
        """Count what was used, once."""
        if not self._is_open:
            return
        self._settled, self._is_open = self.used, False
        tokens, micros = self._slot.settle()
        if tokens > self._need.tokens:
            QUOTA_BOUNDS_BROKEN.inc()
        QUOTA_SETTLED.inc(tokens)
        now = self._clock()
        for account in self.accounts:
            account.settle(self._need, tokens, micros, now)

    async def watch(self, pieces: AsyncIterator[Piece]) -> AsyncGenerator[Piece]:
        """The pieces as they are, counted."""
        is_first = True
        async for piece in pieces:
            if is_first and piece.prompt_tokens:
                self.prompt(piece.prompt_tokens)
            is_first = False
            self._count(piece)
            yield piece

    def _count(self, piece: Piece) -> None:
        if piece.end is not None and piece.end.usage is not None:
            self.prompt(piece.end.usage.prompt_tokens)
        self.delivered(piece.answer, piece.tokens_by_now(self._answers.get(piece.answer, 0)))


@dataclass(frozen=True)
class MeteredEngines:
    """Engines whose answers are counted where the request of this task is limited."""

    engines: Engines

    @asynccontextmanager
    async def generate(
        self, call: ChatCall, *, tenant: str, asked: AskedModel, timeout: float
    ) -> AsyncIterator[AsyncIterator[Piece]]:
        """As the engines do.

        An engine that fails before its first piece costs nothing; one that is left before that is
        counted with the prompt's bound.
        """
        generating = self.engines.generate(call, tenant=tenant, asked=asked, timeout=timeout)
        meter = METER.get()
        if meter is None:
            async with generating as pieces:
                yield pieces
            return
        meter.asked()
        async with generating as pieces, aclosing(_begun(meter, pieces)) as counted:
            yield counted


async def _begun(meter: Meter, pieces: AsyncIterator[Piece]) -> AsyncGenerator[Piece]:
    has_begun = False
    try:
        async with aclosing(meter.watch(pieces)) as counted:
            async for piece in counted:
                has_begun = True
                yield piece
    except DomainError:
        if not has_begun:
            meter.refused()
        raise
