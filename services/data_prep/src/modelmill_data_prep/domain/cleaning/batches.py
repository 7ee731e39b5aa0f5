"""How a transform works on a batch without looking at each text that needs nothing."""

import re
from collections.abc import Callable, Sequence

from modelmill_data_prep.domain.stages import TextTransform

SEPARATOR = "\n"
"""Stands between the texts when a whole batch is searched at once; it combines with nothing."""

MAX_ROUNDS = 8
"""A text that still changes after so many rounds is left as it is then."""


def changed_where(
    texts: Sequence[str], suspicion: re.Pattern[str], change: Callable[[str], str]
) -> list[str]:
    """The texts, those in which `suspicion` is found changed.

    The texts are searched as one, and one by one only when something was found: most batches are
    clean. So `suspicion` must find in the joined texts what it finds in one of them.
    """
    if not suspicion.search(SEPARATOR.join(texts)):
        return list(texts)
    return [change(text) if suspicion.search(text) else text for text in texts]


def until_stable(change: Callable[[str], str], text: str) -> str:
    """`text` changed until doing it again changes nothing, which makes any change idempotent."""
    for _ in range(MAX_ROUNDS):
        after = change(text)
        if after == text:
            break
        text = after
    return text


class Settled:
    """A transform whose changes pass the transforms before it once more, until all rest.

    What a transform lays bare (an entity that becomes a zero-width space, two lines that become
    neighbours) may be what an earlier one tidies. Without this a chain of transforms, done twice,
    could change a text again. Texts that the transform does not change cost nothing more.
    """

    def __init__(self, transform: TextTransform, earlier: Sequence[TextTransform]) -> None:
        self.name = transform.name
        self.version = transform.version
        self._transform = transform
        self._earlier = tuple(earlier)

    def __call__(self, texts: Sequence[str]) -> list[str]:
        """Each text as the transform and all before it leave it."""
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
    # Comparing texts that are the same object costs nothing.
    return [place for place, (old, new) in enumerate(pairs) if old != new]
