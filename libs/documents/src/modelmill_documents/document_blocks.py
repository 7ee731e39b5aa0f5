"""Blocks of a document's text, in reading order, and limits of reading them."""

from dataclasses import dataclass
from typing import NamedTuple


class DocumentBlock(NamedTuple):
    """A paragraph, heading, list item, row of a table or block of code."""

    text: str
    page: int | None = None
    """From 1; None for formats without pages."""
    level: int = 0
    """1 to 6 for a heading, else 0."""


@dataclass(frozen=True)
class ParseLimits:
    """What reading one document may take; the defaults suit a service."""

    file_bytes: int = 256 * 1024**2
    text_bytes: int = 32 * 1024**2
    memory_bytes: int = 1024**3
    """Address space of the process that reads."""
    cpu_seconds: int = 30
    wall_seconds: float = 50.0
