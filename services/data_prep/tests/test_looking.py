"""Looking into a stranger's file brings nothing down but one answer."""

import os
import signal
from pathlib import Path

import psutil
import pytest
from data_prep.adapters.file_looker import CHILD, FileLooker
from service_kit.errors import InvalidInputError

SPEC = {"mapping": {"layout": "text"}}

LIMITS = {"max_row_bytes": 2**20, "pseudonym_key": bytes(32)}


def children() -> list[psutil.Process]:
    return [one for one in psutil.Process().children() if CHILD in one.cmdline()]


async def test_a_child_that_was_brought_down_costs_one_answer(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b'{"text": "hello"}\n')
    async with FileLooker(tmp_path) as looker:
        before = await looker.preview(file, "jsonl", spec=SPEC, rows=1, **LIMITS)
        (child,) = children()
        os.kill(child.pid, signal.SIGKILL)
        child.wait()

        with pytest.raises(InvalidInputError, match="brings its reader down"):
            await looker.spec(file, "jsonl", spec=SPEC, max_row_bytes=99)
        after = await looker.preview(file, "jsonl", spec=SPEC, rows=1, **LIMITS)

    assert after == before
    assert children() == []


async def test_a_file_that_never_ends_to_be_read_is_given_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "file")
    async with FileLooker(tmp_path, seconds=0.01) as looker:
        with pytest.raises(InvalidInputError, match="takes it too long"):
            await looker.opening(tmp_path / "file", "jsonl")
        assert children() == []


async def test_what_is_wrong_with_a_file_or_a_spec_is_said_in_full(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b'{"words": "hello"}\n')
    async with FileLooker(tmp_path) as looker:
        with pytest.raises(InvalidInputError, match=r"no \.gz file"):
            await looker.opening(file, "text.gz")
        with pytest.raises(InvalidInputError, match="unknown column 'text'; the file has 'words'"):
            await looker.spec(file, "jsonl", spec=SPEC, max_row_bytes=99)
        assert await looker.opening(file, "jsonl") is None


async def test_many_large_rows_are_shown_as_far_as_a_message_holds_them(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b'{"text": "' + b"x" * 1_000_000 + b'"}\n')
    many = tmp_path / "many"
    many.write_bytes(file.read_bytes() * 50)
    async with FileLooker(tmp_path) as looker:
        for path, shown in ((file, 1), (many, 2)):
            looked = await looker.preview(path, "jsonl", spec=SPEC, rows=50, **LIMITS)
            assert len(looked["rows"]) == shown
