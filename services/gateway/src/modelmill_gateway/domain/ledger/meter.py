"""Meter: what one limited request uses, counted while it is answered."""

from collections.abc import Callable

from modelmill_gateway.domain.chat import Usage
from modelmill_gateway.domain.ledger.account import Account
from modelmill_gateway.domain.ledger.amounts import Amounts
from modelmill_gateway.domain.ledger.rate_limit_headers import Headers, quota_headers
from modelmill_gateway.domain.ledger.slots import Slot


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

    @property
    def headers(self) -> Headers:
        """The rate-limit headers of this moment."""
        return quota_headers(self.accounts, self._clock())

    def settle(self) -> int:
        """Charge what was used, once; gives its tokens."""
        self._settled, self._is_open = self.used, False
        tokens, micros = self._slot.settle()
        now = self._clock()
        for account in self.accounts:
            account.settle(self._need, tokens, micros, now)
        return tokens
