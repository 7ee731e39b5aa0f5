"""Answers of few rows that may be a more frequent one, misspelt."""

from collections.abc import Mapping
from difflib import SequenceMatcher
from unicodedata import normalize

ALIKE = 0.8
"""Of two texts, as `difflib` compares."""
FEWEST_CHARACTERS = 4
"""Shorter answers look like many others."""
TIMES_AS_OFTEN = 10
"""At least, of an answer that is meant by one that looks like it."""


def doubtful_choices(rows: Mapping[str, int]) -> dict[str, str]:
    """Answers with the one that each may be: equal but for case and spaces, or rare and alike.

    Args:
        rows: By answer.
    """
    found: dict[str, str] = {}
    by_frequency = sorted(rows, key=lambda answer: (-rows[answer], answer))
    for place, answer in enumerate(by_frequency):
        for meant in by_frequency[:place]:
            rare = rows[meant] >= TIMES_AS_OFTEN * rows[answer]
            if _folded(meant) == _folded(answer) or (rare and _are_alike(meant, answer)):
                found[answer] = meant
                break
    return found


def _folded(answer: str) -> str:
    return " ".join(normalize("NFKC", answer).casefold().split())


def _are_alike(meant: str, answer: str) -> bool:
    one, other = _folded(meant), _folded(answer)
    if min(len(one), len(other)) < FEWEST_CHARACTERS or _letters(one) == _letters(other):
        return False  # numbered answers differ by their numbers
    return SequenceMatcher(None, one, other, autojunk=False).ratio() >= ALIKE


def _letters(text: str) -> str:
    return "".join(character for character in text if not character.isdigit())
