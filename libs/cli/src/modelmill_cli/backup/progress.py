"""What a backup and a restore tell of their progress."""

from typing import Protocol


class BytesShown(Protocol):
    """Somebody who shows it."""

    def begin(self, what: str, total_bytes: int | None) -> None:
        """A phase begins; of so many bytes, if that is known."""
        ...

    def advance(self, count: int) -> None:
        """So many bytes more are done."""
        ...
