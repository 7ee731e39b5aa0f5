"""Who may be in the pipeline beside whom, so that nobody reads what another is still writing.

The prefix cache finds blocks that are filled in part, too, and one that a request still writes on
in is then read and written by two: both may say something wrong. Prompts are marked against that
(`openvino_cache`), but with a repetition penalty they cannot be, for it looks their tokens up by
number. Such requests share blocks only if their prompts begin with the same token, as those of one
chat template do: of these one is in the pipeline at a time.
"""

from collections import deque
from typing import Any


class Turns:
    """Requests with a repetition penalty, in the order in which they came.

    Args:
        shares: whether there is a prefix cache at all; without one nobody waits.
    """

    def __init__(self, *, shares: bool) -> None:
        self._shares = shares
        self._waiting: deque[dict[str, Any]] = deque()
        self._running: dict[int, int] = {}
        """First tokens of prompts in the pipeline, by request."""

    def __len__(self) -> int:
        return len(self._waiting)

    def holds(self, number: int) -> bool:
        """Whether the request waits here."""
        return any(add["id"] == number for add in self._waiting)

    def take(self, add: dict[str, Any]) -> None:
        """Put a request behind those that wait."""
        self._waiting.append(add)

    def must_wait(self, add: dict[str, Any]) -> bool:
        """Whether another has its beginning now, or waits for it."""
        if not self._can_share(add):
            return False
        first = add["prompt"][0]
        before = (each["prompt"][0] for each in self._waiting if each is not add)
        return first in self._running.values() or first in before

    def begin(self, add: dict[str, Any]) -> None:
        """It is in the pipeline."""
        if self._can_share(add):
            self._running[add["id"]] = add["prompt"][0]

    def leave(self, number: int) -> None:
        """It is over, or is not wanted any more."""
        self._running.pop(number, None)
        self._waiting = deque(add for add in self._waiting if add["id"] != number)

    def next(self) -> list[dict[str, Any]]:
        """Those whose turn has come; each is to be begun."""
        taken, due = set(self._running.values()), []
        for add in [*self._waiting]:
            if add["prompt"][0] not in taken:
                due.append(add)
                self._waiting.remove(add)
            taken.add(add["prompt"][0])
        return due

    def _can_share(self, add: dict[str, Any]) -> bool:
        return self._shares and bool(add["prompt"]) and add["repetition_penalty"] != 1
