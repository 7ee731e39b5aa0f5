"""What tokens cost, in whole millionths of the operator's currency."""

from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple

MILLION = 1_000_000
DEFAULT = "*"


class Price(NamedTuple):
    """Millionths of the currency for a million tokens of prompts, and of answers."""

    prompt: int = 0
    answer: int = 0

    def cost(self, prompt_tokens: int, answer_tokens: int) -> int:
        """What they cost together, rounded up to the next millionth."""
        return -(-(prompt_tokens * self.prompt + answer_tokens * self.answer) // MILLION)


class Prices:
    """Prices by model name or alias; "*" is for all others, and nothing when it is not there.

    Args:
        listed: currency for a million tokens of prompts and of answers, as decimal strings.

    Raises:
        ValueError: a price is no number from 0 on, or finer than a millionth.
    """

    def __init__(self, listed: Mapping[str, tuple[str, str]]) -> None:
        self.are_any = bool(listed)
        self._by_name = {
            name: Price(_micros(name, prompt), _micros(name, answer))
            for name, (prompt, answer) in listed.items()
        }
        self._default = self._by_name.get(DEFAULT, Price())

    def of(self, *names: str) -> Price:
        """The price of the first name that has one."""
        return next((self._by_name[it] for it in names if it in self._by_name), self._default)


def _micros(name: str, text: str) -> int:
    try:
        micros = Decimal(text) * MILLION
        whole = int(micros)
    except (ArithmeticError, ValueError) as error:
        raise ValueError(f"the price of {name!r} is no decimal number: {text!r}") from error
    if whole != micros or whole < 0:
        raise ValueError(f"the price of {name!r} must be whole millionths from 0 on: {text!r}")
    return whole
