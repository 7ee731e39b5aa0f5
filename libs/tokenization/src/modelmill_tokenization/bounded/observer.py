"""Who hears what happens in a pool."""

from typing import Protocol


class Observer(Protocol):
    """Hears what happens in the pool, for figures."""

    def running(self, processes: int) -> None:
        """So many processes are up."""

    def waited(self, seconds: float) -> None:
        """A request begins that waited so long for a process."""

    def worked(self, cpu_seconds: float) -> None:
        """Foreign code ran and took so much."""

    def stopped(self) -> None:
        """A request passed a limit, and its process was ended."""

    def refused(self) -> None:
        """A request was refused because of earlier ones."""
