"""ROUGE (Lin 2004): F1 of the words that an answer shares with the right one.

Words are `words_of`'s, so that Chinese counts character by character, where the reference package
sees no words at all. No stemming.
"""

import re
from collections import Counter
from collections.abc import Sequence

_UNSPACED = (
    "\u3040-\u30ff\u31f0-\u31ff"  # kana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # Han
    "\U00020000-\U000323af"
    "\u0e00-\u0e7f"  # Thai
)
_WORD = re.compile(f"[{_UNSPACED}]|(?:(?![{_UNSPACED}])[^\\W_])+")


def words_of(text: str) -> list[str]:
    """Runs of letters and digits in lower case; each character of a script without spaces.

    Punctuation and spaces count for nothing, as in ROUGE.
    """
    return _WORD.findall(text.lower())


def rouge_n(answer: str, reference: str, n: int) -> float:
    """F1 of the runs of `n` words, 0 to 1; 1 where neither has any."""
    ours, theirs = (_runs(words_of(text), n) for text in (answer, reference))
    return _f1((ours & theirs).total(), ours.total(), theirs.total())


def rouge_l(answer: str, reference: str) -> float:
    """F1 of the longest common subsequence of words, over the whole text."""
    ours, theirs = words_of(answer), words_of(reference)
    return _f1(common_subsequence(ours, theirs), len(ours), len(theirs))


def common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest one, a word of `second` at a time by bits (Hyyrö 2004)."""
    where: dict[str, int] = {}
    for place, word in enumerate(first):
        where[word] = where.get(word, 0) | 1 << place
    all_places = (1 << len(first)) - 1
    row = all_places
    for word in second:
        matched = row & where.get(word, 0)
        row = ((row + matched) | (row - matched)) & all_places
    return len(first) - row.bit_count()


def _runs(words: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[at : at + n]) for at in range(len(words) - n + 1))


def _f1(common: int, ours: int, theirs: int) -> float:
    if not ours and not theirs:
        return 1.0
    return 2 * common / (ours + theirs)
