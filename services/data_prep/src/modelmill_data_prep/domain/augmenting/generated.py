"""Augmentation by a language model: paraphrases and back-translation of user messages."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import pyarrow as pa

from modelmill_data_prep.domain.augmenting.row_maker import chosen_rows, rewritten
from modelmill_data_prep.domain.augmenting.similarity import SimilarityLimits

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
