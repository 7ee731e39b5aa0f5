"""Removes stop words, for topic statistics; not suitable for training data.

Chinese is not segmented: the longest listed word at a position is removed, even inside a longer
word.
"""

import re
from collections.abc import Callable, Mapping, Sequence

from modelmill_data_prep.domain.cleaning.stage import until_stable

_WORD_WITH_BLANK = re.compile("[A-Za-z]+(?:['\u2019][A-Za-z]+)?[ \t]?")
_BLANKS_BEFORE_MARK = re.compile("[ \t]+(?=[ \t]|[,.;:!?)]|\n|\\Z)")
_HAN = re.compile("[\u4e00-\u9fff]")


class StopWords:
    """Removes stop words; a text of only stop words stays."""

    name = "stop_words"
    version = 1

    def __init__(self, load: Callable[[], Mapping[str, frozenset[str]]]) -> None:
        """`load` returns the lists of "zh" and "en"; it is called lazily."""
        self._load = load
        self._english: frozenset[str] | None = None
        self._chinese: frozenset[str] = frozenset()
        self._lengths: dict[str, list[int]] = {}
        """Lengths of Chinese stop words by first character, longest first."""
        self._first = _HAN
        """Matches first characters of Chinese stop words."""

    def __call__(self, texts: Sequence[str]) -> list[str]:
        """Remove stop words."""
        return [until_stable(self._without, text) for text in texts]

    def _without(self, text: str) -> str:
        english = self._lists()
        shorter = _WORD_WITH_BLANK.sub(
            lambda word: "" if word.group().strip().lower() in english else word.group(), text
        )
        if _HAN.search(shorter):
            shorter = self._without_chinese(shorter)
        if shorter == text:
            return text
        shorter = _BLANKS_BEFORE_MARK.sub("", shorter).strip()
        return shorter if any(map(str.isalnum, shorter)) else text

    def _without_chinese(self, text: str) -> str:
        pieces: list[str] = []
        done = place = 0
        while first := self._first.search(text, place):
            start = place = first.start()
            for length in self._lengths[first.group()]:
                if text[start : start + length] in self._chinese:
                    pieces.append(text[done:start])
                    done = place = start + length
                    break
            else:
                place += 1
        return "".join([*pieces, text[done:]])

    def _lists(self) -> frozenset[str]:
        if self._english is None:
            lists = self._load()
            self._chinese = frozenset(word for word in lists["zh"] if _HAN.match(word))
            for word in sorted(self._chinese, key=len, reverse=True):
                lengths = self._lengths.setdefault(word[0], [])
                if len(word) not in lengths:
                    lengths.append(len(word))
            self._first = re.compile(f"[{''.join(sorted(self._lengths))}]")
            self._english = lists["en"]
        return self._english
