"""spaCy's stop-word lists; for the child process only."""

from collections.abc import Mapping
from importlib import import_module

from modelmill_data_prep.adapters.spacy_import import import_spacy


def spacy_stop_words() -> Mapping[str, frozenset[str]]:
    """Lower-case stop words for zh and en."""
    import_spacy()
    return {
        language: frozenset(
            word.lower() for word in import_module(f"spacy.lang.{language}.stop_words").STOP_WORDS
        )
        for language in ("zh", "en")
    }
