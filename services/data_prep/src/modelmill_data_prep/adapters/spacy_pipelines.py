"""spaCy without torch: stop words, and names of persons and organisations by installed pipelines.

Nothing is ever downloaded. Loading a pipeline runs code of its package. So only packages published
by Explosion are loaded, checked by their metadata before anything is imported.
"""

import re
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module, metadata
from typing import Any

from modelmill_service_kit.errors import InvalidInputError

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


_PUBLISHER = "Explosion"
_NAME = re.compile("[a-z]{2}(?:_[a-z0-9]{1,20}){1,4}")
_TYPE_OF_LABEL = {"PERSON": "person", "PER": "person", "ORG": "organisation"}
_NOT_NEEDED = ("tagger", "parser", "attribute_ruler", "lemmatizer", "morphologizer", "senter")
_MASKS = "|".join(name.upper() for name in TYPES)
_DONE_ALREADY = re.compile(
    rf"\[?\b(?:{_MASKS})\b\]?|(?:Person|Organisation)-[0-9A-F]{{8}}|example\.com|EXAMPLE"
)
"""Masks and pseudonyms, which a pipeline may mistake for names."""


def check_models(models: Mapping[str, str]) -> None:
    """Reject pipelines that are not installed, not by Explosion, or for another language.

    Raises:
        InvalidInputError: Lists every error.
    """
    errors = [error for language, name in models.items() for error in _errors_of(language, name)]
    if errors:
        raise InvalidInputError(errors)


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


def _errors_of(language: str, name: str) -> list[str]:
    shown = f"entities: spaCy pipeline {name[:64]!r}"
    if not _NAME.fullmatch(name):
        return [f"{shown} is no name of a package, such as en_core_web_sm"]
    try:
        package = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return [
            f"{shown} is not installed where data-prep runs. `python -m spacy download"
            f" {name[:64]}` installs it"
        ]
    errors: list[str] = []
    if package["Author"] != _PUBLISHER:
        errors.append(f"{shown} is not one that spaCy's makers ({_PUBLISHER}) published")
    if not name.startswith(f"{language}_"):
        errors.append(f"{shown} is not for language {language!r}")
    return errors
