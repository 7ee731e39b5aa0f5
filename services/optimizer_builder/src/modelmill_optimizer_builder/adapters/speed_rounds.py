"""Measures tokens per second of a build beside its reference, in rounds."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

NEW_TOKENS = 64
"""Of each measured answer."""
ROUNDS = 6
Name = TypeVar("Name", bound=str)
Prompt = Sequence[int]


def rates_by_round(
    engines: Mapping[Name, Callable[[Prompt], float]],
    prompts: Sequence[Prompt],
    context_tokens: int,
    on_round: Callable[[int, int], None],
) -> dict[Name, list[float]]:
    """Tokens per second of each round and engine: one greedy request at a time, prefill included.

    The engines alternate within each round, so that other load on the machine affects all of them.
    The first round is a warm-up and not counted.

    Args:
        engines: Each answers a prompt with `NEW_TOKENS` tokens, and returns its tokens per second.
        prompts: Token ids; one prompt per round, cut to what the context leaves.
        on_round: Called with (rounds done, total rounds).
    """
    rates: dict[Name, list[float]] = {name: [] for name in engines}
    for round_number in range(ROUNDS + 1):
        on_round(round_number, ROUNDS + 1)
        prompt = prompts[round_number % len(prompts)][: context_tokens - NEW_TOKENS]
        for name, answer in engines.items():
            rate = answer(prompt)
            if round_number:
                rates[name].append(rate)
    return rates
