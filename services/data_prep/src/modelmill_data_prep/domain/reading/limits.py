"""How much of a file is held at once, and how much of it is read at all."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ReadLimits:
    """Bounds on what a file may cost. The defaults suit a service."""

    max_row_bytes: int = 1024**2
    """A longer row is quarantined."""

    max_document_bytes: int = 32 * 1024
    """A paragraph of a plain text that is longer, or longer than a row, becomes several documents,
    cut at ends of lines."""

    max_content_bytes: int = 16 * 1024**3
    """A compressed file that holds more is refused."""

    max_expansion: int = 250
    """A compressed file that holds more than so many bytes for each of its own is refused."""

    chunk_bytes: int = 1024**2
    """So much is read at a time; it changes nothing about what is read."""

    block_rows: int = 2_000
    """A block has at most so many rows, and about `chunk_bytes`."""
