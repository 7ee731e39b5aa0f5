"""nats-server for one machine: loopback only, every acknowledged message on the disk."""

import asyncio
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from modelmill_bus.stream_folders import (
    UntakenStreamsError,
    has_former_streams,
    take_over_streams,
)
from modelmill_service_kit.errors import PreconditionError
from modelmill_service_kit.process_supervisor import LogLine, python_module

from modelmill_cli.errors import folder_error
from modelmill_cli.process_group import Command
from modelmill_cli.state_folder import StateFolder, write_private

ROOM_BYTES = 1 << 40
"""More than all streams together may hold; their own limits are what bounds them."""
ROOM_TO_GO_ON_BYTES = 2 << 20
LOOK_SECONDS = 1.0
FULL_DISK_SIGNS = ("no space left on device", "disk quota exceeded", "file too large")

CONFIG = """\
listen: "127.0.0.1:{port}"
server_name: modelmill
jetstream {{
  store_dir: "{store}"
  # An acknowledgement means fsynced: without this, a power cut loses acknowledged jobs.
  sync_interval: always
  # By default three quarters of what is free at the start: on a disk that has filled up since, the
  # broker would then refuse to load streams that it has.
  max_file_store: {room}
}}
{admitted}"""


READY_SIGN = "Server is ready"
"""What nats-server says once it answers."""


def broker_command(state: StateFolder, *, port: int, admitted: str) -> Command:
    """Write the broker's configuration, readable by its owner alone, and give its command.

    Args:
        admitted: its `accounts` block.

    Raises:
        PreconditionError: nats-server is not installed.
    """
    binary = shutil.which("nats-server", path=str(Path(sys.executable).parent)) or shutil.which(
        "nats-server"
    )
    if binary is None:
        raise PreconditionError("nats-server is not installed. Run `make install`")
    config = state.path / "run" / "nats.conf"
    text = CONFIG.format(port=port, store=state.bus, room=ROOM_BYTES, admitted=admitted)
    write_private(config, text.encode())
    watchdog = [*python_module("modelmill_cli.parent_watchdog"), str(state.bus / "lock")]
    return Command([*watchdog, binary, "-c", str(config)], ready_sign=READY_SIGN)


def take_over(state: StateFolder) -> None:
    """Give streams of a version without accounts to their account, while no broker runs.

    Raises:
        PreconditionError: they cannot be taken over; the message says why.
    """
    with _refusals(state):
        take_over_streams(state.bus)


def is_without_accounts(state: StateFolder) -> bool:
    """Whether its streams are those of a version without accounts; raises as `take_over` does."""
    with _refusals(state):
        return has_former_streams(state.bus)


@contextmanager
def _refusals(state: StateFolder) -> Iterator[None]:
    try:
        yield
    except UntakenStreamsError as error:
        raise PreconditionError(str(error)) from error
    except OSError as error:
        raise folder_error(state.path, error) from error


class FullDiskWatch:
    """Starts the broker again once a disk that was full has room.

    After a failed write nats-server refuses that stream's messages until it is started anew.

    Args:
        on_line: receives every line of the broker's, and ours.
        restart: ends the broker; whoever supervises it starts it again.
    """

    def __init__(self, folder: Path, on_line: LogLine, restart: Callable[[], None]) -> None:
        self._folder = folder
        self._on_line = on_line
        self._restart = restart
        self._waiting: asyncio.Task[None] | None = None

    def see(self, name: str, line: str) -> None:
        """Take one line of the broker's log."""
        self._on_line(name, line)
        if any(sign in line for sign in FULL_DISK_SIGNS) and self._waiting is None:
            self._waiting = asyncio.create_task(self._wait_for_room(name), name="full disk watch")

    async def _wait_for_room(self, name: str) -> None:
        try:
            self._on_line(
                name,
                f"disk full on {self._folder}: new jobs and files are refused until you free space",
            )
            while True:
                await asyncio.sleep(LOOK_SECONDS)
                if shutil.disk_usage(self._folder).free >= ROOM_TO_GO_ON_BYTES:
                    break
            self._on_line(name, "there is space again; starting the broker anew")
            self._restart()
        finally:
            self._waiting = None

    async def stop(self) -> None:
        """Wait no longer."""
        if self._waiting is not None:
            self._waiting.cancel()
            await asyncio.gather(self._waiting, return_exceptions=True)
