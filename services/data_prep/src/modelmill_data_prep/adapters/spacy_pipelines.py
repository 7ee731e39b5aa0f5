"""spaCy without torch: stop words, and names of persons and organisations by its pipelines."""

import re
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from modelmill_data_prep.adapters.installed_pipelines import check_models
from modelmill_data_prep.domain.entities.entity_plan import TYPES, Span
from modelmill_data_prep.domain.languages import languages_of


def import_spacy() -> Any:
    """Import spaCy while torch is hidden.

    Its backend imports torch if installed, which takes seconds and hundreds of megabytes. A None in
    `sys.modules` makes the import fail as if torch were not installed.
    """
    hidden = "torch" not in sys.modules
    if hidden:
        sys.modules["torch"] = None  # type: ignore[assignment]
    try:
        import spacy
    finally:
        if hidden:
            del sys.modules["torch"]
    return spacy


def spacy_stop_words() -> Mapping[str, frozenset[str]]:
    """Lower-case stop words for zh and en."""
    import_spacy()
    return {
        language: frozenset(
            word.lower() for word in import_module(f"spacy.lang.{language}.stop_words").STOP_WORDS
        )
        for language in ("zh", "en")
    }


_TYPE_OF_LABEL = {"PERSON": "person", "PER": "person", "ORG": "organisation"}
_NOT_NEEDED = ("tagger", "parser", "attribute_ruler", "lemmatizer", "morphologizer", "senter")
_MASKS = "|".join(name.upper() for name in TYPES)
_DONE_ALREADY = re.compile(
    rf"\[?\b(?:{_MASKS})\b\]?|(?:Person|Organisation)-[0-9A-F]{{8}}|example\.com|EXAMPLE"
)
"""Masks and pseudonyms, which a pipeline may mistake for names."""


class SpacyEntityFinder:
    """Finds persons and organisations; pipelines are loaded lazily by language."""

    def __init__(self, models: Mapping[str, str]) -> None:
        """`models` maps languages to pipeline names.

        Raises:
            InvalidInputError: As `check_models`.
        """
        check_models(models)
        self._models = dict(models)
        self._pipelines: dict[str, Any] = {}

    def __call__(self, texts: Sequence[str]) -> list[list[Span]]:
        """Entities of each text; none for languages without a pipeline."""
        found: list[list[Span]] = [[] for _ in texts]
        languages = languages_of(texts)
        for language in self._models:
            places = [place for place, one in enumerate(languages) if one == language]
            if not places:
                continue
            pipeline = self._pipeline(language)
            # Without a memory zone spaCy's vocabulary grows with every new word.
            with pipeline.memory_zone():
                documents = pipeline.pipe([texts[place] for place in places])
                for place, document in zip(places, documents, strict=True):
                    found[place] = _spans_of(document)
        return found

    def _pipeline(self, language: str) -> Any:
        if language not in self._pipelines:
            name = self._models[language]
            self._pipelines[language] = import_spacy().load(name, exclude=list(_NOT_NEEDED))
        return self._pipelines[language]


def _spans_of(document: Any) -> list[Span]:
    return [
        Span(_TYPE_OF_LABEL[entity.label_], entity.start_char, entity.end_char)
        for entity in document.ents
        if entity.label_ in _TYPE_OF_LABEL and not _DONE_ALREADY.search(entity.text)
    ]
