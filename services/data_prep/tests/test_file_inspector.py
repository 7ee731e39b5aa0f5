"""Looking into a stranger's file brings nothing down but one answer."""

import asyncio
import os
import select
import signal
from pathlib import Path

import psutil
import pytest
from modelmill_data_prep.file_inspector import CHILD, FileInspector
from modelmill_service_kit.errors import InvalidInputError
from modelmill_testkit.waiting import eventually

pytestmark = [pytest.mark.tier("test"), pytest.mark.real_starts]

ROW = b'{"text": "hello"}\n'
SPEC = {"mapping": {"layout": "text"}}

LIMITS = {"max_row_bytes": 2**20, "pseudonym_key": bytes(32)}


def children() -> list[psutil.Process]:
    """Those that live."""
    return [one for one in psutil.Process().children() if not is_gone(one) and looks(one)]


def looks(child: psutil.Process) -> bool:
    """Whether it is one of those that look into files."""
    try:
        return CHILD in child.cmdline()
    except psutil.Error:
        return False


def is_gone(child: psutil.Process) -> bool:
    """Whether it holds nothing open any more."""
    try:
        return child.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def nobody_reads(writing: int) -> bool:
    """Whether the other end of this pipe is closed."""
    ends = select.poll()
    ends.register(writing, 0)
    return any(event & select.POLLERR for _, event in ends.poll(0))


async def killed_while_it_reads(pipe: Path) -> None:
    """Wait until a child reads from this pipe, and kill it."""
    writing = await asyncio.to_thread(os.open, pipe, os.O_WRONLY)
    (child,) = children()
    os.kill(child.pid, signal.SIGKILL)
    # A process may be a zombie while a thread of it still holds the pipe.
    await eventually(lambda: nobody_reads(writing))
    os.close(writing)


async def test_a_child_that_is_killed_while_it_answers_costs_no_answer(tmp_path: Path) -> None:
    pipe = tmp_path / "file"
    os.mkfifo(pipe)
    async with FileInspector(tmp_path) as inspector:
        answer = asyncio.create_task(inspector.check_opening(pipe, "jsonl"))
        await killed_while_it_reads(pipe)
        await asyncio.to_thread(pipe.write_bytes, ROW)

        assert await answer is None
        assert len(children()) == 1


async def test_a_file_that_brings_two_children_down_is_refused_and_the_next_is_not(
    tmp_path: Path,
) -> None:
    pipe, file = tmp_path / "pipe", tmp_path / "file"
    os.mkfifo(pipe)
    file.write_bytes(ROW)
    async with FileInspector(tmp_path) as inspector:
        answer = asyncio.create_task(inspector.check_opening(pipe, "jsonl"))
        for _ in range(2):
            await killed_while_it_reads(pipe)

        with pytest.raises(InvalidInputError, match="crashed its reader twice"):
            await answer
        assert children() == []
        assert await inspector.check_opening(file, "jsonl") is None


async def test_a_child_that_dies_while_nobody_asks_is_no_files_fault(tmp_path: Path) -> None:
    pipe, file = tmp_path / "pipe", tmp_path / "file"
    os.mkfifo(pipe)
    file.write_bytes(ROW)
    async with FileInspector(tmp_path) as inspector:
        await inspector.check_opening(file, "jsonl")
        (child,) = children()
        os.kill(child.pid, signal.SIGKILL)
        await eventually(lambda: inspector._child is not None and inspector._child.has_ended)

        answer = asyncio.create_task(inspector.check_opening(pipe, "jsonl"))
        await killed_while_it_reads(pipe)
        await asyncio.to_thread(pipe.write_bytes, ROW)
        assert await answer is None
    assert children() == []


async def test_a_file_that_never_ends_to_be_read_is_given_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "file")
    async with FileInspector(tmp_path, seconds=0.01) as inspector:
        with pytest.raises(InvalidInputError, match="reading the file took more than"):
            await inspector.check_opening(tmp_path / "file", "jsonl")
        assert children() == []


async def test_what_is_wrong_with_a_file_or_a_spec_is_said_in_full(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b'{"words": "hello"}\n')
    async with FileInspector(tmp_path) as inspector:
        with pytest.raises(InvalidInputError, match=r"no \.gz file"):
            await inspector.check_opening(file, "text.gz")
        with pytest.raises(InvalidInputError, match=r"column 'text'\. The file has 'words'"):
            await inspector.check_spec(file, "jsonl", spec=SPEC, max_row_bytes=99)
        assert await inspector.check_opening(file, "jsonl") is None


async def test_many_large_rows_are_shown_as_far_as_a_message_holds_them(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b'{"text": "' + b"x" * 1_000_000 + b'"}\n')
    many = tmp_path / "many"
    many.write_bytes(file.read_bytes() * 50)
    async with FileInspector(tmp_path) as inspector:
        for path, shown in ((file, 1), (many, 2)):
            looked = await inspector.preview(path, "jsonl", spec=SPEC, rows=50, **LIMITS)
            assert len(looked["rows"]) == shown
