"""Whom `engine_process` supervises, whatever it is."""

from collections.abc import Mapping
from typing import Any, Protocol


class EnginePeer(Protocol):
    """Who does the work: a child process, or something that is spoken to like one."""

    @property
    def pid(self) -> int | None:
        """Process id; None when it is not a process of this machine."""

    def send(self, message: Mapping[str, Any]) -> None:
        """Queue a message; one to a peer that is gone is dropped."""

    async def receive(self) -> dict[str, Any]:
        """The peer's next message; UnavailableError: it is gone."""

    async def close(self, grace_seconds: float = 0.0) -> int:
        """End it; its exit status.

        Args:
            grace_seconds: how long it may take to leave by itself.
        """
