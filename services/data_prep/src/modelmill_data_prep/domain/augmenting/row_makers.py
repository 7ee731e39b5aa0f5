"""Augmentation methods: synonyms, and paraphrases and back-translation by a language model."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import pyarrow as pa
from xxhash import xxh3_64_intdigest

from modelmill_data_prep.domain.augmenting.plan import SimilarityLimits
from modelmill_data_prep.domain.row_batch import ROWS


class RowMaker(Protocol):
    """Augments rows of the train split."""

    def make(self, rows: pa.RecordBatch, share: float, seed: int) -> pa.RecordBatch:
        """New rows of `ROWS`, in the order of their original rows.

        Rows are sampled by seed and source hash, independent of batching. A sampled row without a
        result within the similarity limits gives no new row.


        Args:
            rows: Of `ROWS`.
            share: 0 to 1.
            seed: 64 bits.
        """


def chosen_rows(rows: pa.RecordBatch, share: float, seed: int) -> pa.RecordBatch:
    """Sample about `share` of the rows, by a seeded hash of source and line."""
    limit = round(share * 2**64)
    keys = zip(rows.column("source").to_pylist(), rows.column("line").to_pylist(), strict=True)
    taken = [
        xxh3_64_intdigest(source + line.to_bytes(8, "big"), seed=seed) < limit
        for source, line in keys
    ]
    return rows.filter(pa.array(taken, pa.bool_()))


def rewritten(
    rows: pa.RecordBatch,
    rewrite: Callable[[Sequence[str], Sequence[int]], Sequence[str]],
    limits: SimilarityLimits,
    made_by: str,
) -> pa.RecordBatch:
    """The rows with rewritten user messages; drops rows with a message outside the limits.

    Args:
        rows: Of `ROWS`.
        rewrite: Takes user messages and a random number for each, derived from source and
            position; returns the rewritten messages in order.
        limits: Required similarity of each rewritten message. A message may stay unchanged if
            another one of its row changes.
        made_by: "<name>@<version>".
    """
    records = rows.to_pylist()
    places = [
        (row, turn)
        for row, record in enumerate(records)
        for turn, role in enumerate(record["roles"])
        if role == "user"
    ]
    texts = [records[row]["contents"][turn] for row, turn in places]
    numbers = [xxh3_64_intdigest(records[row]["source"], seed=turn) for row, turn in places]
    new_texts = rewrite(texts, numbers)
    changed: set[int] = set()
    refused: set[int] = set()
    for (row, turn), text, new in zip(places, texts, new_texts, strict=True):
        if new == text:
            continue
        if not new.strip() or not limits.allow(text, new):
            refused.add(row)
        changed.add(row)
        records[row]["contents"][turn] = new
    made = [{**records[row], "made_by": made_by} for row in sorted(changed - refused)]
    return pa.RecordBatch.from_pylist(made, schema=ROWS)


NAME = "synonyms@1"

_LATIN_WORD = r"(?<![\w'@./-])[A-Za-z][a-z]+(?![\w'@/-]|\.\w)"
"""A lower-case or capitalised word that is not part of a longer token or address."""

_STEP = 0x5851F42D4C957F2D
_MASK = 2**64 - 1


class Synonyms:
    """Replaces about half of the words with synonyms, at least one per message.

    Latin words match as whole words, lower-case or capitalised; the synonym is capitalised
    likewise. Chinese words match anywhere. Inflected forms do not match.


    Args:
        groups: Groups of interchangeable words; no word is in two groups.
        limits: Required similarity of a rewritten message.
    """

    def __init__(self, groups: Iterable[Sequence[str]], limits: SimilarityLimits) -> None:
        self._group_of = {word: group for group in groups for word in group}
        self._limits = limits
        wide = sorted(word for word in self._group_of if not word.isascii())
        self._sizes = sorted({len(word) for word in wide}, reverse=True)
        starts = re.escape("".join(dict.fromkeys(word[0] for word in wide)))
        self._candidate = re.compile(_LATIN_WORD + (f"|[{starts}]" if wide else ""))

    def make(self, rows: pa.RecordBatch, share: float, seed: int) -> pa.RecordBatch:
        """As `RowMaker.make`."""
        chosen = chosen_rows(rows, share, seed)
        return rewritten(chosen, partial(self._rewrite, seed), self._limits, NAME)

    def _rewrite(self, seed: int, texts: Sequence[str], numbers: Sequence[int]) -> list[str]:
        return [
            self._with_synonyms(text, number ^ seed)
            for text, number in zip(texts, numbers, strict=True)
        ]

    def _with_synonyms(self, text: str, number: int) -> str:
        found = list(self._words(text))
        if not found:
            return text
        always = number % len(found)
        parts, end = [], 0
        for place, (start, word) in enumerate(found):
            number = (number * _STEP + 1) & _MASK
            drawn = number >> 33
            if place != always and drawn & 1:
                continue
            parts += [text[end:start], self._other(word, drawn >> 1)]
            end = start + len(word)
        return "".join([*parts, text[end:]])

    def _words(self, text: str) -> Iterator[tuple[int, str]]:
        """Start and text of words with synonyms; the first of overlapping ones."""
        end = 0
        for match in self._candidate.finditer(text):
            start, word = match.span()[0], match.group()
            if word.isascii():
                if word.lower() in self._group_of:
                    yield start, word
            elif start >= end:
                for size in self._sizes:
                    if (word := text[start : start + size]) in self._group_of:
                        yield start, word
                        end = start + size
                        break

    def _other(self, word: str, number: int) -> str:
        group = self._group_of[word.lower()]
        others = [one for one in group if one != word.lower()]
        other = others[number % len(others)]
        return other.capitalize() if word[0].isupper() else other


PARAPHRASE = "paraphrase@1"
BACK_TRANSLATION = "back_translation@1"
MAX_TURN_CHARACTERS = 2_000
"""Rows with longer user messages are skipped, as a model would take minutes for each."""

_CHINESE_FROM = "\u2e80"
_CHINESE_SHARE = 0.2
_PIVOT = {"Chinese": "English", "English": "Chinese"}


@dataclass(frozen=True, slots=True)
class GenerationPrompt:
    """A generation request."""

    text: str
    max_new_tokens: int
    seed: int


class TextGenerator(Protocol):
    """Generates text with a model."""

    def __call__(self, prompts: Sequence[GenerationPrompt]) -> list[str]:
        """One answer per prompt, in order; empty if the model gives none.

        Raises:
            DomainError: The model is not available.
        """


class Translator(Protocol):
    """Translates between Chinese and English."""

    def __call__(self, texts: Sequence[str], source: str, target: str) -> list[str]:
        """Translations in order; empty if one failed.

        Args:
            texts: All in one language.
            source: "Chinese" or "English".
            target: The other one.
        """


class Paraphrases:
    """Augmentation by paraphrases of a model.

    Args:
        generate: The model.
        limits: Required similarity of a rewritten message.
    """

    def __init__(self, generate: TextGenerator, limits: SimilarityLimits) -> None:
        self._generate = generate
        self._limits = limits

    def make(self, rows: pa.RecordBatch, share: float, seed: int) -> pa.RecordBatch:
        """As `RowMaker.make`."""
        chosen = _with_short_turns(chosen_rows(rows, share, seed))
        return rewritten(chosen, partial(self._rewrite, seed), self._limits, PARAPHRASE)

    def _rewrite(self, seed: int, texts: Sequence[str], numbers: Sequence[int]) -> list[str]:
        prompts = [
            GenerationPrompt(
                "Say the following in other words, in the same language and with the same meaning. "
                f"Answer with the new text alone.\n\n{text}",
                _token_limit(text),
                number ^ seed,
            )
            for text, number in zip(texts, numbers, strict=True)
        ]
        return [_without_quotes(answer) for answer in self._generate(prompts)]


class BackTranslations:
    """Augmentation by translation to another language and back.

    Args:
        translate: Used in both directions.
        limits: Required similarity of a rewritten message.
    """

    def __init__(self, translate: Translator, limits: SimilarityLimits) -> None:
        self._translate = translate
        self._limits = limits

    def make(self, rows: pa.RecordBatch, share: float, seed: int) -> pa.RecordBatch:
        """As `RowMaker.make`."""
        chosen = _with_short_turns(chosen_rows(rows, share, seed))
        return rewritten(chosen, self._rewrite, self._limits, BACK_TRANSLATION)

    def _rewrite(self, texts: Sequence[str], numbers: Sequence[int]) -> list[str]:
        result = [""] * len(texts)
        for language, pivot in _PIVOT.items():
            places = [place for place, text in enumerate(texts) if _language(text) == language]
            there = self._translate([texts[place] for place in places], language, pivot)
            arrived = [pair for pair in zip(places, there, strict=True) if pair[1].strip()]
            back = self._translate([text for _, text in arrived], pivot, language)
            for (place, _), text in zip(arrived, back, strict=True):
                result[place] = text
        return result


class PromptTranslator:
    """Translator that prompts a language model.

    Args:
        generate: The model.
    """

    def __init__(self, generate: TextGenerator) -> None:
        self._generate = generate

    def __call__(self, texts: Sequence[str], source: str, target: str) -> list[str]:
        """As `Translator`."""
        prompts = [
            GenerationPrompt(
                f"Translate the following from {source} to {target}. "
                f"Answer with the translation alone.\n\n{text}",
                _token_limit(text),
                0,
            )
            for text in texts
        ]
        return [_without_quotes(answer) for answer in self._generate(prompts)] if prompts else []


def _with_short_turns(rows: pa.RecordBatch) -> pa.RecordBatch:
    """The rows whose user messages are all short enough."""
    turns = zip(rows.column("roles").to_pylist(), rows.column("contents").to_pylist(), strict=True)
    short = [
        all(
            role != "user" or len(text) <= MAX_TURN_CHARACTERS
            for role, text in zip(roles, contents, strict=True)
        )
        for roles, contents in turns
    ]
    return rows.filter(pa.array(short, pa.bool_()))


def _token_limit(text: str) -> int:
    """Token limit for an answer of similar length, in any language."""
    return 64 + 2 * len(text)


def _without_quotes(answer: str) -> str:
    """The answer without surrounding quotation marks, which models often add."""
    text = answer.strip()
    for opening, closing in ('""', "“”", "「」"):
        inner = text[1:-1]
        if text[:1] == opening and text[-1:] == closing and opening not in inner:
            return inner.strip()
    return text


def _language(text: str) -> str:
    wide = sum(character >= _CHINESE_FROM for character in text)
    return "Chinese" if wide >= _CHINESE_SHARE * len(text) else "English"
