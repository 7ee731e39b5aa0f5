"""Upgrades a state folder, migration by migration, on a broker of its own.

`layout.json` says which one was begun before it begins, and what was reached once it has ended. A
mill that was killed leaves a folder on which nothing starts before the upgrade is repeated.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from modelmill_bus.link import broker_errors, open_looking
from modelmill_service_kit.errors import PreconditionError

from modelmill_cli.errors import folder_error
from modelmill_cli.private_broker import private_broker
from modelmill_cli.state_folder import StateFolder
from modelmill_cli.state_layout import UNSAID, write_layout
from modelmill_cli.upgrading.migrations import MIGRATIONS, Migration, OpenedState


@dataclass(frozen=True)
class UpgradeStep:
    """A migration of this folder."""

    to: int
    about: str
    changes: Sequence[str]


@dataclass(frozen=True)
class UpgradeReport:
    """What an upgrade does."""

    path: str
    layout: int
    """Before."""
    to: int
    steps: Sequence[UpgradeStep]


async def plan_upgrade(
    state: StateFolder, migrations: Sequence[Migration] = MIGRATIONS
) -> UpgradeReport:
    """What `upgrade_state` would do; of later migrations, as the folder is now.

    Raises:
        PreconditionError: something runs on the folder, it is no state folder, of a newer layout,
            or something in it cannot be upgraded.
        UnavailableError: the broker did not start.
    """
    async with _opened(state, migrations) as (before, left, opened):
        with broker_errors("look at the streams"):
            steps = [UpgradeStep(it.to, it.about, await it.changes(opened)) for it in left]
    return UpgradeReport(str(state.path), before, migrations[-1].to, steps)


async def upgrade_state(
    state: StateFolder,
    tell: Callable[[UpgradeStep], object],
    migrations: Sequence[Migration] = MIGRATIONS,
) -> UpgradeReport:
    """Bring the folder to the layout of the last migration; raises as `plan_upgrade` does.

    Args:
        tell: called after each migration.
    """
    steps: list[UpgradeStep] = []
    await plan_upgrade(state, migrations)  # what cannot be upgraded is left as it is
    async with _opened(state, migrations, takes_over=True) as (before, left, opened):
        reached = before
        for migration in left:
            with broker_errors(f"upgrade to layout {migration.to}"):
                step = UpgradeStep(migration.to, migration.about, await migration.changes(opened))
            _say(state, reached, upgrading_to=migration.to)
            with broker_errors(f"upgrade to layout {migration.to}"):
                await migration.apply(opened)
            _say(state, migration.to)
            reached = migration.to
            steps.append(step)
            tell(step)
    return UpgradeReport(str(state.path), before, reached, steps)


def _say(state: StateFolder, layout: int, *, upgrading_to: int = UNSAID) -> None:
    try:
        write_layout(state.layout_file, layout, upgrading_to=upgrading_to)
    except OSError as error:
        raise folder_error(state.path, error) from error


@asynccontextmanager
async def _opened(
    state: StateFolder, migrations: Sequence[Migration], *, takes_over: bool = False
) -> AsyncIterator[tuple[int, Sequence[Migration], OpenedState]]:
    """The folder's layout, what is left to do, and the folder."""
    if not state.bus.is_dir():
        raise PreconditionError(
            f"{state.path} has nothing to upgrade. Name the folder of a `mill up`:"
            " `mill --state FOLDER state upgrade`"
        )
    with state.locked(range(migrations[-1].to + 1)):
        before = state.layout().layout
        left = [each for each in migrations if each.to > before]
        if takes_over and left:
            _say(state, before, upgrading_to=left[0].to)
        async with (
            private_broker(state, takes_over=takes_over) as (url, credential),
            open_looking(url, credential, name="cli") as link,
        ):
            yield before, left, OpenedState(state, link)
