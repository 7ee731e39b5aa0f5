"""Migrations of a state folder: each makes one layout of the one before.

To add one: raise `LAYOUT`, and the `schema` of each stream whose messages now mean something else;
append a `Migration`. It ends with `set_schema` for those streams, and does nothing when it is
repeated.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from modelmill_bus.link import Link
from modelmill_bus.stream_changes import bring_to_table, stream_changes

from modelmill_cli.state_folder import StateFolder


@dataclass(frozen=True)
class OpenedState:
    """A state folder while it is upgraded, and its streams on a broker of its own."""

    state: StateFolder
    link: Link


@dataclass(frozen=True)
class Migration:
    """One step. It may be killed at any moment, and begins again then."""

    to: int
    """The layout that it makes of the one before."""
    about: str
    """What it does, for people."""
    changes: Callable[[OpenedState], Awaitable[Sequence[str]]]
    """What it would change as the folder is now; changes nothing."""
    apply: Callable[[OpenedState], Awaitable[None]]


async def _stream_changes(opened: OpenedState) -> Sequence[str]:
    return [each.words for each in await stream_changes(opened.link.js)]


async def _bring_to_table(opened: OpenedState) -> None:
    await bring_to_table(opened.link.js)


MIGRATIONS = (
    Migration(
        to=1,
        about="streams say their schema, have an account of their own, and all subjects and the"
        " room they need",
        changes=_stream_changes,
        apply=_bring_to_table,
    ),
)
"""All of them, in order; the last makes `LAYOUT`."""
