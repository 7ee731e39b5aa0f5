"""What the GPU check records."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Entry:
    """One figure, in the form of `deploy/bench`."""

    id: str
    value: float
    unit: str
    against: str
    goal: str
    met: bool
    note: str

    def as_json(self) -> dict[str, Any]:
        """As recorded; one run has no interval."""
        return {
            "id": self.id,
            "value": self.value,
            "unit": self.unit,
            "against": self.against,
            "ratio": None,
            "goal": self.goal,
            "met": self.met,
            "ci95": None,
            "note": self.note,
        }
