"""spaCy pipelines that are installed here, by their metadata: nothing is imported or downloaded.

Loading a pipeline runs code of its package. So only packages published by Explosion may be named.
"""

import re
from collections.abc import Mapping
from importlib import metadata

from modelmill_service_kit.errors import InvalidInputError

_PUBLISHER = "Explosion"
_NAME = re.compile("[a-z]{2}(?:_[a-z0-9]{1,20}){1,4}")


def check_models(models: Mapping[str, str]) -> None:
    """Reject pipelines that are not installed, not by Explosion, or for another language.

    Raises:
        InvalidInputError: Lists every error.
    """
    errors = [error for language, name in models.items() for error in _errors_of(language, name)]
    if errors:
        raise InvalidInputError(errors)


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
