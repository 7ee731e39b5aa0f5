"""Small sound files of every format, and ways to break them."""

import csv
import gzip
import io
import json
import zipfile
from collections.abc import Callable
from functools import cache
from random import Random
from xml.sax.saxutils import escape

import openpyxl
import pyarrow as pa
from modelmill_data_prep.domain.reading.file_form import (
    FileFormat,
    compression_of,
    row_format_of,
)
from pyarrow import parquet

MOST_BYTES = 20_000

ROWS: list[dict[str, object]] = [
    {"q": "What is it?", "a": "A test.", "n": 1},
    {"q": 'He said "so",\nthen left.', "a": "好的 \U0001f600", "n": 2.5},
    {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo"}]},
    {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Yo"}]},
    {"instruction": "Add", "input": "1 2", "output": "3", "text": "A document."},
    {"prompt": "Q", "chosen": "good", "rejected": "bad", "tools": []},
]

TOKENS = (
    b'"', b"'", b",", b"\n", b"\r", b"\r\n", b"\0", b"{", b"}", b"[", b"]", b":", b"\\", b"\\ud800",
    b"\xef\xbb\xbf", b"\xff\xfe", b"\xff", b"\xed\xa0\x80", b"NaN", b"Infinity", b"1e999", b"-0",
    b"null", b'""', b'"""', b"[" * 300, b'{"a":' * 150, b"9" * 5_000, b"x" * 3_000, b" " * 50,
    b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"PAR1", b"\xe2\x80\xa8", b"\x0b", b"\x1c",
)  # fmt: skip
"""What parsers stumble over."""

_SHEET = "xl/worksheets/sheet1.xml"
"""Of a workbook: its cells are broken before it is packed."""


def seeds_of(file_format: FileFormat) -> list[bytes]:
    """Sound files of a format, before they are compressed."""
    rows = row_format_of(file_format)
    if rows == "parquet":
        return [_parquet(ROWS[:2]), _parquet(ROWS[2:3]), _parquet(ROWS)]
    if rows == "xlsx":
        return [_csv().encode()]
    texts = {
        "jsonl": ["\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS) + "\n"],
        "csv": [_csv(), "a,b\r\n1,2\r\n\r\n3,4"],
        "text": ["One\nand more.\n\nTwo\n\n\nThree"],
    }[rows]
    return [text.encode() for text in texts]


def compressed(content: bytes, file_format: FileFormat) -> bytes:
    """The content as a file of this format holds it."""
    compression = compression_of(file_format)
    if compression == "gz":
        return gzip.compress(content, mtime=0)  # the time would make each run another
    if file_format == "xlsx":
        return _with_part(_workbook(), _SHEET, _sheet(content))
    return _zstd(content) if compression == "zst" else content


def broken_file(random: Random, file_format: FileFormat, seeds: list[bytes]) -> bytes:
    """One of the sound files, broken before or after it was compressed."""
    content, other = random.choice(seeds), random.choice(seeds)
    if random.random() < 0.5:
        return compressed(mutated(random, content, other), file_format)
    return mutated(random, compressed(content, file_format), compressed(other, file_format))


def mutated(random: Random, content: bytes, other: bytes) -> bytes:
    """The content with one to eight things done to it."""
    for _ in range(random.randint(1, 8)):
        content = random.choice(_WAYS)(random, content, other)[:MOST_BYTES]
    return content


def _place(random: Random, content: bytes) -> int:
    return random.randint(0, len(content))


def _flip(random: Random, content: bytes, other: bytes) -> bytes:
    if not content:
        return content
    changed = bytearray(content)
    changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def _insert(random: Random, content: bytes, other: bytes) -> bytes:
    at = _place(random, content)
    return content[:at] + random.choice(TOKENS) + content[at:]


def _cut(random: Random, content: bytes, other: bytes) -> bytes:
    first, last = sorted((_place(random, content), _place(random, content)))
    return content[:first] + content[last:]


def _repeat(random: Random, content: bytes, other: bytes) -> bytes:
    first, last = sorted((_place(random, content), _place(random, content)))
    return content[:last] + content[first:last] * random.randint(1, 20) + content[last:]


def _splice(random: Random, content: bytes, other: bytes) -> bytes:
    return content[: _place(random, content)] + other[_place(random, other) :]


def _end(random: Random, content: bytes, other: bytes) -> bytes:
    return content[: _place(random, content)]


_WAYS: tuple[Callable[[Random, bytes, bytes], bytes], ...] = (
    _flip, _flip, _insert, _insert, _cut, _repeat, _splice, _end,
)  # fmt: skip


def _csv() -> str:
    written = io.StringIO(newline="")
    csv.writer(written).writerows([["q", "a"], *([row["q"], row["a"]] for row in ROWS[:2])])
    return written.getvalue()


def _parquet(rows: list[dict[str, object]]) -> bytes:
    written = io.BytesIO()
    columns = {name: [str(row.get(name, "")) for row in rows] for name in rows[0]}
    parquet.write_table(pa.table(columns), written)
    return written.getvalue()


@cache
def _workbook() -> bytes:
    book = openpyxl.Workbook()
    for row in [["q", "a"], *([str(row["q"]), str(row["a"])] for row in ROWS[:2])]:
        book.worksheets[0].append(row)
    written = io.BytesIO()
    book.save(written)
    return written.getvalue()


def _sheet(table: bytes) -> bytes:
    """A sheet with the table's fields in its cells, cut at every comma and line feed."""
    lines = table.decode("utf-8", "ignore").split("\n")
    rows = "".join(f"<row>{''.join(map(_cell, line.split(',')))}</row>" for line in lines)
    space = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    return f'<worksheet xmlns="{space}"><sheetData>{rows}</sheetData></worksheet>'.encode()


def _cell(text: str) -> str:
    shown = escape("".join(one for one in text if one.isprintable()))
    return f'<c t="inlineStr"><is><t>{shown}</t></is></c>'


def _with_part(archive: bytes, name: str, content: bytes) -> bytes:
    """The archive with other content in one of its files."""
    written = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(archive)) as old,
        zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for each in old.namelist():
            new.writestr(each, content if each == name else old.read(each))
    return written.getvalue()


def _zstd(content: bytes) -> bytes:
    compressed: bytes = pa.compress(content, "zstd", asbytes=True)
    return compressed
