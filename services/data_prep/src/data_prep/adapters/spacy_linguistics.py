"""What a linguist counts, by spaCy's blank pipelines. Slow; the report does without it by default.

Imported by the job's child process only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from data_prep.adapters.spacy_import import import_spacy
from data_prep.domain.language_names import Language
from data_prep.domain.languages import languages_of

_MAX_TEXT_CHARACTERS = 2**31
"""spaCy's own limit guards parsers; a blank pipeline needs none, and rows have one."""


@dataclass(frozen=True, slots=True)
class LinguisticMeasure:
    """Of one row, its system turn left out."""

    language: Language
    tokens: int
    """As spaCy's tokenizer for the language cuts them, white space left out."""

    stop_words: int
    """Words in spaCy's list for the language; in Chinese, cut by character, single ones only."""

    punctuation: int
    sentences: int


class LinguisticMeasurer:
    """Measures rows, each given as what is said in it; spaCy is loaded at the first one.

    Chinese is cut by character, which is what a blank zh pipeline does without a segmenter; a text
    that is not zh is cut by the rules for English, at white space and punctuation.
    """

    def __init__(self) -> None:
        self._pipelines: dict[str, Any] = {}

    def __call__(self, texts: Sequence[str]) -> list[LinguisticMeasure]:
        """Measure each text in the tokenizer of its language."""
        measures: list[LinguisticMeasure | None] = [None] * len(texts)
        languages = languages_of(texts)
        for name in ("zh", "en"):
            places = [
                place for place, one in enumerate(languages) if (one == "zh") == (name == "zh")
            ]
            if not places:
                continue
            pipeline = self._pipeline(name)
            # Outside of a zone spaCy remembers every word that it ever saw.
            with pipeline.memory_zone():
                for place in places:
                    measures[place] = _measure(pipeline(texts[place]), languages[place])
        return [measure for measure in measures if measure is not None]

    def _pipeline(self, name: str) -> Any:
        if name not in self._pipelines:
            pipeline = import_spacy().blank(name)
            pipeline.add_pipe("sentencizer")
            pipeline.max_length = _MAX_TEXT_CHARACTERS
            self._pipelines[name] = pipeline
        return self._pipelines[name]


def _measure(document: Any, language: Language) -> LinguisticMeasure:
    if not len(document):
        return LinguisticMeasure(language, 0, 0, 0, 0)
    space, stop, mark = document.to_array(["IS_SPACE", "IS_STOP", "IS_PUNCT"]).astype(bool).T
    tokens, sentences = int((~space).sum()), sum(1 for _ in document.sents)
    # The Chinese list has marks in it.
    stop_words = int((stop & ~mark).sum())
    return LinguisticMeasure(language, tokens, stop_words, int(mark.sum()), sentences)
