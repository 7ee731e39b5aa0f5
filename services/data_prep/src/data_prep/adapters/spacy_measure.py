"""Tokens and sentences by spaCy's blank pipelines. Imported by the job's child process only."""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from data_prep.adapters.spacy_import import import_spacy
from data_prep.domain.language_names import Language
from data_prep.domain.languages import language_of
from data_prep.domain.measure import Measure
from data_prep.domain.rows import Conversation

_PIPELINE_OF: defaultdict[Language, str] = defaultdict(lambda: "en", {"zh": "zh"})
_MAX_TEXT_CHARACTERS = 2**31
"""spaCy's own limit guards parsers; a blank pipeline needs none, and rows have one."""


class SpacyMeasurer:
    """Measures conversations; spaCy is loaded at the first one.

    Chinese is cut by character, which is what a blank zh pipeline does without a segmenter;
    a text of another script is cut by the rules for English, at white space and punctuation.
    """

    def __init__(self) -> None:
        self._pipelines: dict[str, Any] = {}

    def __call__(self, conversations: Sequence[Conversation]) -> list[Measure]:
        """Measure each conversation, in the tokenizer of its script."""
        texts = [conversation.spoken for conversation in conversations]
        languages = [language_of(text) for text in texts]
        pipelines = {
            name: self._pipeline(name) for name in {_PIPELINE_OF[one] for one in languages}
        }
        with ExitStack() as zones:
            # Outside of a zone spaCy remembers every word that it ever saw.
            for pipeline in pipelines.values():
                zones.enter_context(pipeline.memory_zone())
            return [
                _measure(pipelines[_PIPELINE_OF[language]](text), language)
                for language, text in zip(languages, texts, strict=True)
            ]

    def _pipeline(self, name: str) -> Any:
        if name not in self._pipelines:
            pipeline = import_spacy().blank(name)
            pipeline.add_pipe("sentencizer")
            pipeline.max_length = _MAX_TEXT_CHARACTERS
            self._pipelines[name] = pipeline
        return self._pipelines[name]


def _measure(document: Any, language: Language) -> Measure:
    tokens = len(document) - int(document.to_array("IS_SPACE").sum())
    return Measure(language, tokens, sum(1 for _ in document.sents))
