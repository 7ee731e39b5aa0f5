"""A cancelled backup or restore: its thread has ended before its folder is cleaned up."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from cli_support.backed_up import make_estate
from modelmill_cli.app import run_app
from modelmill_cli.backup.folder import BackupFolder
from modelmill_cli.backup.progress import BytesShown
from modelmill_cli.backup.restore_backup import restore_backup, verify_backup
from modelmill_cli.backup.take_backup import take_backup
from modelmill_cli.state_folder import StateFolder

pytestmark = pytest.mark.tier("test")

TURNS = 20
"""Of the loop, in which a task that waits for nothing has ended."""
Work = Callable[[Path, BytesShown], Coroutine[Any, Any, object]]


class CancelsIn:
    """Cancels at the first bytes of a phase, and gives the task time to end.

    Args:
        needed: What is to be there while the thread works.
    """

    def __init__(self, phase: str, folder: Path, needed: str) -> None:
        self.phase = phase
        self.folder, self.needed = folder, needed
        self.task: asyncio.Task[object] | None = None
        self.bytes_told = 0
        self.cancelled = Event()
        self.went_on_without_its_thread = False
        self._now = ""

    def begin(self, what: str, total_bytes: int | None) -> None:
        self._now = what

    def advance(self, count: int) -> None:
        if self._now != self.phase:
            return
        self.bytes_told += 1
        if self.bytes_told == 1:
            assert self.task is not None
            loop = self.task.get_loop()
            loop.call_soon_threadsafe(self.task.cancel)
            asyncio.run_coroutine_threadsafe(_some_turns(), loop).result(10)
            is_there = any(self.folder.glob(self.needed))
            self.went_on_without_its_thread = self.task.done() or not is_there
            self.cancelled.set()


async def _some_turns() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


def restored(folder: Path, progress: BytesShown) -> Coroutine[Any, Any, object]:
    return restore_backup(
        BackupFolder(folder / "backup"), StateFolder(folder / "new"), "", progress
    )


def verified(folder: Path, progress: BytesShown) -> Coroutine[Any, Any, object]:
    return verify_backup(BackupFolder(folder / "backup"), "", progress)


def taken(folder: Path, progress: BytesShown) -> Coroutine[Any, Any, object]:
    return take_backup(StateFolder(folder / "state"), BackupFolder(folder / "other"), 7, progress)


PARTS: dict[str, tuple[Work, str, str]] = {
    "restore": (restored, "artifacts", "new/artifacts/staging"),
    "verification before a restore": (restored, "verifying", "backup"),
    "verification": (verified, "verifying", "backup"),
    "backup": (taken, "artifacts", "state/artifacts/staging/pinned-*"),
}


def cancelled(part: str, folder: Path) -> CancelsIn:
    work, phase, needed = PARTS[part]
    progress = CancelsIn(phase, folder, needed)

    async def run() -> None:
        progress.task = asyncio.ensure_future(work(folder, progress))
        with pytest.raises(asyncio.CancelledError):
            await progress.task
        assert await asyncio.to_thread(progress.cancelled.wait, 10)

    asyncio.run(run())
    return progress


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a state folder and its backup."""
    folder = tmp_path_factory.mktemp("made")
    asyncio.run(make_estate(StateFolder(folder / "state"), folder / "work"))
    state = str(folder / "state")
    assert run_app(["--state", state, "backup", str(folder / "backup")]) == 0
    return folder


@pytest.mark.parametrize("part", PARTS)
def test_the_thread_of_cancelled_work_ends_at_once_and_before_it_cleans_up(
    made: Path, part: str
) -> None:
    progress = cancelled(part, made)
    assert not progress.went_on_without_its_thread
    assert progress.bytes_told == 1


def test_a_cancelled_restore_leaves_the_folder_empty_and_a_cancelled_backup_its_staging(
    made: Path,
) -> None:
    cancelled("restore", made)
    assert [found.name for found in (made / "new").iterdir()] == ["lock"]
    cancelled("backup", made)
    assert not any((made / "other" / "staging").iterdir())
    assert not any((made / "state" / "artifacts" / "staging").glob("pinned-*"))
    assert BackupFolder(made / "other").ids() == []
