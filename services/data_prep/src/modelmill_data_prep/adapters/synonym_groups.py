"""Synonym lists that are part of the package."""

from importlib.resources import files

_LANGUAGES = ("en", "zh")


def load_synonyms() -> list[tuple[str, ...]]:
    """Groups of interchangeable words, English and Chinese."""
    folder = files("modelmill_data_prep") / "resources" / "synonyms"
    return [
        tuple(line.split())
        for language in _LANGUAGES
        for line in (folder / f"{language}.txt").read_text("utf-8").splitlines()
    ]
