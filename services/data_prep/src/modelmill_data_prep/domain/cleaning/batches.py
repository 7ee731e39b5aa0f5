"""Batch helpers for text transforms, which skip texts that need no change."""

import re
from collections.abc import Callable, Sequence

from modelmill_data_prep.domain.stages import TextTransform

SEPARATOR = "\n"
"""Separator of joined texts; a line feed never composes with neighbouring characters."""

MAX_ROUNDS = 8
"""Limit of repetitions; a text that still changes after them stays in its last form."""


def apply_where(
    texts: Sequence[str], suspicion: re.Pattern[str], change: Callable[[str], str]
) -> list[str]:
    """Apply `change` to the texts that match `suspicion`.

    The joined batch is searched first, because most batches are clean. So `suspicion` must match
    the
    joined texts if it matches one of them.
    """
    if not suspicion.search(SEPARATOR.join(texts)):
        return list(texts)
    return [change(text) if suspicion.search(text) else text for text in texts]


def until_stable(change: Callable[[str], str], text: str) -> str:
    """Apply `change` until the text is stable, which makes it idempotent."""
    for _ in range(MAX_ROUNDS):
        after = change(text)
        if after == text:
            break
        text = after
    return text


class IdempotentTransform:
    """Wrapper that re-runs earlier transforms on changed texts until they are stable.

    A transform can produce input for an earlier one: an HTML entity becomes a zero-width space, or
    two lines become neighbours. The wrapper makes the whole chain idempotent. Unchanged texts cost
    nothing.
    """

    def __init__(self, transform: TextTransform, earlier: Sequence[TextTransform]) -> None:
        self.name = transform.name
        self.version = transform.version
        self._transform = transform
        self._earlier = tuple(earlier)

    def __call__(self, texts: Sequence[str]) -> list[str]:
        """Transform texts to a fixed point of this and all earlier transforms."""
        result = self._transform(texts)
        moved = _places_of_changes(texts, result)
        for _ in range(MAX_ROUNDS if self._earlier else 0):
            if not moved:
                break
            before = [result[place] for place in moved]
            after = before
            for transform in self._earlier:
                after = transform(after)
            after = self._transform(after)
            for place, text in zip(moved, after, strict=True):
                result[place] = text
            moved = [moved[place] for place in _places_of_changes(before, after)]
        return result


def _places_of_changes(before: Sequence[str], after: Sequence[str]) -> list[int]:
    pairs = zip(before, after, strict=True)
    # Comparing identical objects is free.
    return [place for place, (old, new) in enumerate(pairs) if old != new]
