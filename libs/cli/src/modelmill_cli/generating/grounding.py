"""Whether a generated answer stands on its passage; pure functions.

An answer is taken apart into content grams: words without stop words, and pairs of neighbouring
Han characters. Its grounding is the share of different grams that the passage has.
"""

import re
from collections.abc import Iterator
from unicodedata import normalize

MIN_GROUNDING = 0.6
MOST_COPIED = 0.8
"""Share of the passage that an answer may repeat word for word."""
FEWEST_QUESTION_CHARACTERS = 4
_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff\u3040-\u30ff"
_RUN = re.compile(f"[{_HAN}]+|[^\\W{_HAN}_]+")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_STOP_WORDS = frozenset(
    {
        "a", "an", "and", "are", "as", "at", "be", "been", "but", "by", "can", "could", "did", "do",
        "does", "for", "from", "had", "has", "have", "he", "her", "his", "how", "i", "if", "in",
        "into", "is", "it", "its", "may", "more", "most", "no", "not", "of", "on", "one", "or",
        "other", "our", "out", "over", "s", "she", "should", "so", "some", "such", "t", "than",
        "that", "the", "their", "them", "then", "there", "these", "they", "this", "those", "to",
        "was", "we", "were", "what", "when", "where", "which", "who", "why", "will", "with",
        "would", "you", "your",
    }
)  # fmt: skip


def folded(text: str) -> str:
    """Text as it is compared: width, case and blanks do not count."""
    return " ".join(normalize("NFKC", text).casefold().split())


def content_grams(text: str) -> set[str]:
    """Words without stop words and simple plurals, and pairs of Han characters."""
    return set(_grams(folded(text)))


def grounding(answer: str, passage: str) -> float:
    """Share of the answer's grams that the passage has; 0 for an answer without any."""
    grams = content_grams(answer)
    return len(grams & content_grams(passage)) / len(grams) if grams else 0.0


def fault_of(question: str, answer: str, passage: str, min_grounding: float) -> str | None:
    """Why a pair is rejected, in one word; None for one that is kept.

    `empty`: a question of a few characters, or an answer without content. `copy`: the answer is
    the question, or the question or the answer is most of the passage, word for word.
    `number`: the answer has a number that is not in the passage. `ungrounded`: its grounding is
    below the limit.
    """
    asked, said, source = folded(question), folded(answer), folded(passage)
    if len(asked) < FEWEST_QUESTION_CHARACTERS or not content_grams(answer):
        return "empty"
    if asked == said or any(_repeats(text, source) for text in (asked, said)):
        return "copy"
    if not set(_NUMBER.findall(said)) <= set(_NUMBER.findall(source)):
        return "number"
    return None if grounding(answer, passage) >= min_grounding else "ungrounded"


def _repeats(text: str, source: str) -> bool:
    return len(text) > MOST_COPIED * len(source) and text in source


def _grams(text: str) -> Iterator[str]:
    for run in _RUN.findall(text):
        if re.match(f"[{_HAN}]", run):
            yield from (run[place : place + 2] for place in range(max(len(run) - 1, 1)))
        elif run not in _STOP_WORDS:
            yield run[:-1] if len(run) > 3 and run.endswith("s") else run
