"""Imports spaCy, which is large, where it is needed and without what is not."""

import sys
from typing import Any


def import_spacy() -> Any:
    """Import spaCy without torch.

    Its backend imports torch wherever torch is installed: seconds and hundreds of megabytes, for
    tokenizers that never use it. A None in `sys.modules` reads as "not installed".
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
