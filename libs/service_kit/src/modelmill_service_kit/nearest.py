"""Error messages for unknown names: the nearest known name, and where names are listed."""

from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

from modelmill_service_kit.errors import NotFoundError

MOST_COMPARED = 500
"""Names: a long list must not hold up others' requests."""
MOST_CHARACTERS = 80
FEWEST_OF_IDS = 20
"""Characters from which on a name is taken for an id: one slip in it leaves one half as it was, and
ids that merely share their letters are not compared."""
MOST_ALIKE = 20
"""Long names that share a half: where letters repeat, to compare two takes half a millisecond."""
FEWEST_BEGUN = 3
"""Characters of a name that others may go on after."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """ "Did you mean" with the nearest known name; empty if none is near."""
    found = nearest(name, known)
    return f" Did you mean {found!r}?" if found else ""


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name nearest to `name`; empty if none is near.

    What only goes on after the name, as `file_id` after `file`, is nearer than what looks like it.
    """
    asked = name[:MOST_CHARACTERS]
    compared = [each[:MOST_CHARACTERS] for each in islice(known, MOST_COMPARED)]
    if len(asked) >= FEWEST_OF_IDS:
        head, tail = asked[: len(asked) // 2], asked[len(asked) // 2 :]
        alike = (each for each in compared if each.startswith(head) or each.endswith(tail))
        compared = [*islice(alike, MOST_ALIKE)]
    longer = [each for each in compared if len(asked) >= FEWEST_BEGUN and each.startswith(asked)]
    found = sorted(longer, key=len) or get_close_matches(asked, compared, n=1, cutoff=0.65)
    return found[0] if found else ""


def did_you_mean_file(path: Path) -> str:
    """A question with the nearest name in the folder of a path; empty where none is near, or there
    is no such folder."""
    try:
        names = sorted(each.name for each in path.parent.iterdir())
    except OSError:
        return ""
    return did_you_mean(path.name, names)


def no_such(what: str, name: str, listed_at: str, known: Iterable[str] = ()) -> NotFoundError:
    """NotFoundError for an unknown name, with the nearest one and where to list all.

    Args:
        what: The sort of thing, as callers know it.
        listed_at: Path whose GET lists what the caller may see of that sort.
        known: Names that the caller may see.
    """
    asked = name[:MOST_CHARACTERS]
    return NotFoundError(
        f"no {what} {asked!r}.{did_you_mean(name, known)} {where_listed(listed_at)}"
    )


def where_listed(path: str) -> str:
    """Remedy for an unknown name."""
    return f"GET {path} lists what there is"
