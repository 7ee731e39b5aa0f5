"""Lazy import of spaCy without torch."""

import sys
from typing import Any


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
