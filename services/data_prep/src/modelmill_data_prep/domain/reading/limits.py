"""Limits of memory and size for reading files."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ReadLimits:
    """Reading limits; the defaults suit a service."""

    max_row_bytes: int = 1024**2
    """Longer rows are quarantined."""

    max_document_bytes: int = 32 * 1024
    """Longer paragraphs of plain text become several documents, cut at line ends."""

    max_content_bytes: int = 16 * 1024**3
    """Maximum decompressed size."""

    max_expansion: int = 250
    """Maximum compression ratio."""

    chunk_bytes: int = 1024**2
    """Read size; it does not affect results."""

    block_rows: int = 2_000
    """Maximum rows per block; its size is about `chunk_bytes`."""
