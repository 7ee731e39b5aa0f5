"""What a stream holds, and what to say when there is hardly any room left in it."""

from dataclasses import dataclass
from typing import Any

MIB = 1024 * 1024


@dataclass(frozen=True)
class StreamUsage:
    """A stream as its leader describes it."""

    name: str
    first_sequence: int
    """One more than the last in an emptied stream; 0 when there never was a message."""
    last_sequence: int
    """0 when there never was a message."""
    messages: int
    used_bytes: int
    limit_bytes: int
    """0 for a stream without a limit."""
    duplicate_window_seconds: float
    """How long it remembers the ids of messages."""

    @classmethod
    def of(cls, info: Any) -> "StreamUsage":
        """As the client gives them."""
        state, config = info.state, info.config
        return cls(
            config.name,
            state.first_seq,
            state.last_seq,
            state.messages,
            state.bytes,
            max(0, config.max_bytes or 0),
            config.duplicate_window or 0.0,
        )

    @property
    def fill(self) -> float:
        """Share of the room that is used, 0 to 1; 0 without a limit."""
        return self.used_bytes / self.limit_bytes if self.limit_bytes else 0.0

    def refusal(self, share: float) -> str:
        """Why nothing more is taken above `share`, and what an operator does about it."""
        twice = 2 * -(-self.limit_bytes // MIB)
        return (
            f"stream {self.name} is {self.fill:.0%} full ({self.used_bytes / MIB:,.1f} of"
            f" {self.limit_bytes / MIB:,.1f} MiB) and new jobs are refused from {share:.0%} on, so"
            " that running ones can end. Give it more room with"
            f" `nats stream edit {self.name} --max-bytes={twice * MIB}`, which works at once;"
            " jobs are the record of what was made and are not deleted"
        )
