"""State folders of an older layout, and an upgrade that is killed: `python -m ... STATE MOMENT`."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from modelmill.registry.v1.model_events_pb2 import ModelReady
from modelmill_bus.bus import Bus
from modelmill_bus.link import Link, open_looking
from modelmill_bus.stream_changes import set_schema
from modelmill_bus.stream_folders import FORMER_ACCOUNT, STREAMS_ACCOUNT
from modelmill_bus.stream_schemas import KEY
from modelmill_bus.subjects import MODEL_READY, STREAMS
from modelmill_cli.private_broker import private_broker
from modelmill_cli.state_folder import StateFolder, write_private
from modelmill_cli.upgrading.migrations import MIGRATIONS, Migration, OpenedState
from modelmill_cli.upgrading.upgrade_state import upgrade_state

from cli_support.backed_up import make_estate

SMALL_BYTES = 1 << 20
ALIVE = ""
MOMENTS = ("1 begun", "1 applied", "2 begun", "2 half", "2 applied", "3 begun", "3 applied")
"""At which an upgrade may be killed."""


async def make_older(state: StateFolder, work: Path) -> None:
    """What a mill left that knew neither layouts, schemas nor accounts, and made MODELS smaller."""
    await make_estate(state, work)
    async with looked_into(state) as link:
        for stream in STREAMS:
            config = (await link.js.stream_info(stream.name)).config
            smaller = {"max_bytes": SMALL_BYTES} if stream.name == "MODELS" else {}
            subjects = [*stream.subjects]
            await link.js.update_stream(config.evolve(metadata={}, subjects=subjects, **smaller))
    accounts = state.bus / "jetstream"
    (accounts / STREAMS_ACCOUNT).rename(accounts / FORMER_ACCOUNT)
    state.layout_file.unlink()


@asynccontextmanager
async def looked_into(state: StateFolder) -> AsyncIterator[Link]:
    """The streams of a folder of any layout."""
    with state.locked(range(100)):
        async with (
            private_broker(state) as (url, token),
            open_looking(url, token, name="tester") as link,
        ):
            yield link


async def models_of(state: StateFolder) -> tuple[list[str], str, int]:
    """Ids in MODELS in their order, its schema and its room."""
    async with looked_into(state) as link:
        ids = [each.body.version_id async for each in Bus(link, "tester").replay([MODEL_READY])]
        config = (await link.js.stream_info("MODELS")).config
        return ids, (config.metadata or {}).get(KEY, "none"), config.max_bytes or 0


def registered(die_at: str = ALIVE) -> tuple[Migration, ...]:
    """Ours and two more, in which this process kills itself at a moment."""
    more = (
        Migration(2, "models are announced anew", _nothing, partial(_announce, die_at)),
        Migration(3, "a file is added", _nothing, _add_file),
    )
    return tuple(
        replace(each, apply=partial(_apply, each, die_at)) for each in (*MIGRATIONS, *more)
    )


async def _apply(migration: Migration, die_at: str, opened: OpenedState) -> None:
    _die(die_at, f"{migration.to} begun")
    await migration.apply(opened)
    _die(die_at, f"{migration.to} applied")


async def _announce(die_at: str, opened: OpenedState) -> None:
    body = ModelReady(version_id="mv-of-2")
    await Bus(opened.link, "tester").publish(MODEL_READY, body, msg_id="upgrade-2")
    _die(die_at, "2 half")
    await set_schema(opened.link.js, "MODELS", 2)


async def _add_file(opened: OpenedState) -> None:
    write_private(opened.state.path / "of-3", b"")


async def _nothing(_opened: OpenedState) -> list[str]:
    return []


def _die(die_at: str, moment: str) -> None:
    if die_at == moment:
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    folder, moment = sys.argv[1:]
    asyncio.run(upgrade_state(StateFolder(Path(folder)), lambda _step: None, registered(moment)))
