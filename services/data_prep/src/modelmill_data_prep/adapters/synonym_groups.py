"""The lists of synonyms that come with the service."""

from importlib.resources import files

_LANGUAGES = ("en", "zh")


def load_synonyms() -> list[tuple[str, ...]]:
    """Groups of words of which each may stand for each other one, English and Chinese."""
    folder = files("modelmill_data_prep") / "resources" / "synonyms"
    return [
        tuple(line.split())
        for language in _LANGUAGES
        for line in (folder / f"{language}.txt").read_text("utf-8").splitlines()
    ]
