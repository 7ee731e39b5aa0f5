"""What somebody may have meant by a name that there is not."""

from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice

MOST_COMPARED = 500
"""Names: a long list must not hold up others' requests."""
MOST_CHARACTERS = 80
FEWEST_BEGUN = 3
"""Characters of a name that others may go on after."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question with the nearest of the names that there are; empty where none is near.

    What only goes on after the name, as `file_id` after `file`, is nearer than what looks like it.
    """
    asked = name[:MOST_CHARACTERS]
    compared = [each[:MOST_CHARACTERS] for each in islice(known, MOST_COMPARED)]
    longer = [each for each in compared if len(asked) >= FEWEST_BEGUN and each.startswith(asked)]
    found = sorted(longer, key=len) or get_close_matches(asked, compared, n=1, cutoff=0.7)
    return f" Did you mean {found[0]!r}?" if found else ""
