"""Request of the child process that queries a teacher, sent as JSON."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class TeachingRequest:
    """A dataset, a teacher and sampling options; the teacher is reached through the parent."""

    dataset_folder: Path
    teacher_version_id: str
    max_new_tokens: int
    temperature: float
    """Sampling temperature; 0 is greedy."""
    seed: int
    at_once: int
    """Concurrent requests."""
    checkpoint_seconds: float
    """Interval between checkpoints."""
    checkpoint_folder: Path | None
    """Checkpoint of an earlier attempt; None for a fresh start."""

    def as_json(self) -> dict[str, Any]:
        """Plain values, as `from_json` reads them."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {
            name: str(value) if isinstance(value, Path) else value for name, value in plain.items()
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "TeachingRequest":
        """Read what `as_json` wrote."""
        earlier = document["checkpoint_folder"]
        return cls(
            **dict(document)
            | {
                "dataset_folder": Path(document["dataset_folder"]),
                "checkpoint_folder": Path(earlier) if earlier else None,
            }
        )
