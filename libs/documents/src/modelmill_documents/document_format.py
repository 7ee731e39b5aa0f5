"""Document formats by name extension."""

from pathlib import Path
from typing import Literal, TypeGuard, get_args

DocumentFormat = Literal["pdf", "docx", "html", "markdown"]
DOCUMENT_FORMATS: tuple[DocumentFormat, ...] = get_args(DocumentFormat)

FORMAT_OF_ENDING: dict[str, DocumentFormat] = {
    ".pdf": "pdf",
    ".docx": "docx",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".md": "markdown",
    ".markdown": "markdown",
}


def document_format_of(name: str) -> DocumentFormat | None:
    """Format by extension, case-insensitive; None for what is no document."""
    return FORMAT_OF_ENDING.get(Path(name).suffix.lower())


def is_document_format(name: str) -> TypeGuard[DocumentFormat]:
    """Whether a format's name is that of a document."""
    return name in DOCUMENT_FORMATS
