"""Matches that have to prove themselves, by a check digit or a date, before they count."""

import re
from collections.abc import Iterable
from typing import Any

from modelmill_guard.normalise import ShadowWindow
from modelmill_guard.pattern import BoundedPattern, compile_pattern

_WORD_END = re.compile(r"\w\b", re.ASCII)
"""What RE2's `\\b` takes for the end of a word."""


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
            # Proofs come first: they are cheap, and few hold. These patterns end with a word, so
            # that a slice has the boundaries that the text has.
            offset = self._verify(text[:length])
            if offset is not None and (
                length == len(text) or self._matching.fullmatch(text[:length]) is not None
            ):
                return start + offset, start + length
        return None


def proofs_of(patterns: Iterable[BoundedPattern]) -> tuple[Proof, ...]:
    """One for each."""
    return tuple(map(Proof, patterns))


def _lengths(text: str) -> list[int]:
    """The whole length, then every shorter one at which a word ends, longest first."""
    ends = [found.end() for found in _WORD_END.finditer(text) if found.end() < len(text)]
    return [len(text), *reversed(ends)]
