"""Matches that have to prove themselves, by a check digit or a date, before they count."""

from collections.abc import Iterable, Iterator
from typing import Any

from guard.normalise import ShadowWindow
from guard.pattern import BoundedPattern, compile_pattern


class Proof:
    """What a pattern's certain matches are taken for."""

    def __init__(self, pattern: BoundedPattern) -> None:
        self._verify = pattern.verify
        self._shortens = pattern.shortens
        self._matching: Any = compile_pattern(pattern.source) if pattern.shortens else None

    def of(self, window: ShadowWindow, match: tuple[int, int]) -> tuple[int, int] | None:
        """What is found: all, a part, or the longest shorter match that verifies; else None.

        The match is certain, so this depends on the text alone, like the match itself.
        """
        if self._verify is None:
            return match
        start, end = match
        text = window.text[start - window.start : end - window.start]
        for length in _lengths(text) if self._shortens else [len(text)]:
            # These patterns end with a word, so that a slice has the boundaries that the text has.
            if length < len(text) and self._matching.fullmatch(text[:length]) is None:
                continue
            offset = self._verify(text[:length])
            if offset is not None:
                return start + offset, start + length
        return None


def proofs_of(patterns: Iterable[BoundedPattern]) -> tuple[Proof, ...]:
    """One for each."""
    return tuple(map(Proof, patterns))


def _lengths(text: str) -> Iterator[int]:
    """The whole length, then every shorter one at which a word ends, longest first."""
    yield len(text)
    for length in range(len(text) - 1, 0, -1):
        if _is_word(text[length - 1]) and not _is_word(text[length]):
            yield length


def _is_word(character: str) -> bool:
    """What RE2's `\\b` takes for a part of a word."""
    return character.isascii() and (character.isalnum() or character == "_")
