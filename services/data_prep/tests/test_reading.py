"""Rows out of bytes: whatever stands in one row, the others are read."""

import csv
import gzip
import io
import json
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmill_data_prep.domain.blocks import Block, RejectedRow, SourceRow
from modelmill_data_prep.domain.reading.faults import ReadLimits
from modelmill_data_prep.domain.reading.file_form import FileFormat, format_of
from modelmill_data_prep.domain.reading.parse_block import parse_block
from modelmill_data_prep.domain.reading.read_blocks import read_blocks
from modelmill_documents.document_format import is_document_format
from modelmill_service_kit.errors import InvalidInputError


def blocks_of(
    content: bytes, file_format: FileFormat = "jsonl", limit: int = 1000, chunk: int = 1024**2
) -> list[Block]:
    """The blocks of a file with this content."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "content"
        path.write_bytes(content)
        limits = ReadLimits(max_row_bytes=limit, chunk_bytes=chunk)
        return list(read_blocks(path, file_format, limits))


def parsed(
    content: bytes, file_format: FileFormat = "jsonl", limit: int = 1000, chunk: int = 1024**2
) -> list[SourceRow | RejectedRow]:
    """The rows of a file with this content."""
    blocks = blocks_of(content, file_format, limit, chunk)
    return [row for block in blocks for row in parse_block(block)]


def read(
    content: bytes, file_format: FileFormat = "jsonl", limit: int = 1000, chunk: int = 1024**2
) -> list[object]:
    """Each row as (line, its columns) or (line, the reason)."""
    return [
        (row.line, dict(row.columns) if isinstance(row, SourceRow) else row.reason)
        for row in parsed(content, file_format, limit, chunk)
    ]


def test_jsonl_is_read_line_by_line_and_blank_lines_are_no_rows() -> None:
    assert read(b'\xef\xbb\xbf{"a": 1}\r\n\n  \n{"a": "\xe5\xa5\xbd"}') == [
        (1, {"a": 1}),
        (4, {"a": "好"}),
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "not JSON"),
        (b'{"a": NaN}', "not JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a": ' + b"[" * 100 + b"]" * 100 + b"}", "nested too deeply"),
        (b"1" * 5_000, "not JSON"),
        (b'{"a": "\xff"}', "not UTF-8, from byte offset 7 of the row"),
        (b'["a"]', "not a JSON object"),
        (b'{"a": "' + b"x" * 200_000 + b'"}', "longer than 100000 bytes"),
    ],
)
def test_a_line_that_is_no_row_costs_only_itself(line: bytes, reason: str) -> None:
    content = b'{"a": 1}\n' + line + b'\n{"a": 2}\n'

    assert read(content, limit=100_000) == [(1, {"a": 1}), (2, reason), (3, {"a": 2})]


def test_the_limit_is_on_the_row_without_its_line_end() -> None:
    row = b'{"a": "12345678"}'

    assert read(b"\xef\xbb\xbf" + row + b"\r\n" + row, limit=len(row)) == [
        (1, {"a": "12345678"}),
        (2, {"a": "12345678"}),
    ]
    assert read(row, limit=len(row) - 1) == [(1, f"longer than {len(row) - 1} bytes")]


def test_a_very_long_line_is_held_only_in_part() -> None:
    (block,) = blocks_of(b"x" * 1_000_000, limit=100, chunk=1000)

    assert block.rows.to_pylist() == [
        {"line": 1, "raw": b"x" * 100, "fault": "read.too_long: longer than 100 bytes"}
    ]


def test_csv_with_quotes_line_breaks_and_a_byte_order_mark() -> None:
    content = '\ufeffword,gloss\r\n"a ""b"", c","two\r\nlines"\r\n\r\n好,x\r\n'.encode()

    assert read(content, "csv") == [
        (2, {"word": 'a "b", c', "gloss": "two\r\nlines"}),
        (5, {"word": "好", "gloss": "x"}),
    ]


def test_csv_rows_that_do_not_fit_the_header_cost_only_themselves() -> None:
    content = b'a,b\n1\n1,2,3\n"x"y,2\n\xff,2\n' + b"z" * 2000 + b",1\n5,6\n"

    assert read(content, "csv") == [
        (2, "fewer fields than the header"),
        (3, "more fields than the header"),
        (4, "malformed CSV"),
        (5, "not UTF-8, from byte offset 0 of the row"),
        (6, "longer than 1000 bytes"),
        (7, {"a": "5", "b": "6"}),
    ]


def test_a_quote_that_is_never_closed_costs_its_line_and_not_the_rest() -> None:
    rest = b"".join(b"%d,%d\n" % (n, n) for n in range(1000))

    rows = read(b'a,b\n"x,1\n' + rest, "csv")

    assert rows[0] == (2, "a quote that is never closed")
    assert len(rows) == 1001
    assert rows[-1] == (1002, {"a": "999", "b": "999"})


@pytest.mark.parametrize(
    "content", [b"", b"\n\n", b"a,\n1,2\n", b"a,b,a\n1,2,3\n", b"\xff,b\n", b'"a,b\n1,2\n']
)
def test_a_csv_header_that_cannot_be_used_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidInputError):
        read(content, "csv")


def test_a_header_of_very_many_columns_is_read_and_one_without_names_is_told_in_short() -> None:
    names = [f"c{n}" for n in range(100_000)]
    content = f"{','.join(names)}\n{',' * (len(names) - 1)}\n".encode()

    ((_, columns),) = read(content, "csv", limit=1_000_000)
    with pytest.raises(InvalidInputError) as refusal:
        read(b"," * 100_000 + b"\n", "csv", limit=1_000_000)

    assert list(columns) == names
    assert len(refusal.value.errors) == 20


@given(st.lists(st.one_of(st.just(b'{"a": 1}'), st.binary(max_size=40)), max_size=30))
def test_every_line_of_any_bytes_is_a_row_a_rejected_row_or_blank(lines: list[bytes]) -> None:
    content = b"\n".join(line.replace(b"\n", b"").replace(b"\0", b"") for line in lines)
    content = b"{}\n" + content

    rows = read(content, limit=30)

    filled = [n for n, line in enumerate(content.split(b"\n"), start=1) if line.strip()]
    assert [line for line, _ in rows] == filled  # type: ignore[misc]


@given(
    st.lists(st.text('ab,"\n\r \u597d', max_size=8), max_size=20),
    st.sampled_from([10, 1000]),
)
def test_no_bytes_of_a_csv_file_are_lost(pieces: list[str], limit: int) -> None:
    content = ("h\n" + "\n".join(pieces)).encode()

    rows = parsed(content, "csv", limit)

    seen = sorted(
        line for row in rows for line in range(row.line, row.line + max(len(_lines(row)), 1))
    )
    filled = [n for n, line in enumerate(content.split(b"\n"), start=1) if n > 1 and line.strip()]
    assert set(filled) <= set(seen)


def _lines(row: SourceRow | RejectedRow) -> list[bytes]:
    raw = row.raw if isinstance(row.raw, bytes) else row.raw.encode()
    return raw.removesuffix(b"\n").split(b"\n")


cells = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)


@given(st.lists(st.tuples(cells, cells).filter(any), min_size=1, max_size=20))
def test_what_the_csv_writer_wrote_is_read_back(records: list[tuple[str, str]]) -> None:
    file = io.StringIO(newline="")
    csv.writer(file).writerows([("a", "b"), *records])

    rows = read(file.getvalue().encode("utf-8", "surrogatepass"), "csv", limit=100_000)

    assert [row for _, row in rows] == [{"a": a, "b": b} for a, b in records]  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "file_format"),
    [
        ("a.jsonl", "jsonl"),
        ("B.CSV", "csv"),
        ("a.json", None),
        ("jsonl", None),
        ("a.csv.gz", "csv.gz"),
    ],
)
def test_the_format_is_the_ending_of_the_name(name: str, file_format: str | None) -> None:
    assert format_of(name) == file_format


def test_rejected_rows_are_cut_for_the_quarantine() -> None:
    row = json.dumps(["好" * 5_000], ensure_ascii=False).encode()

    (rejected,) = parsed(row, limit=100_000)

    assert isinstance(rejected, RejectedRow)
    assert rejected.raw == '["' + "好" * 1998


any_lines = st.lists(
    st.one_of(
        st.just(b'{"a": 1}'),
        st.just(b'x,"y'),
        st.just(b"\r\r"),
        st.just(b'"q",""'),
        st.just(b'a",""" '),
        st.binary(max_size=40).map(lambda junk: junk.replace(b"\0", b"")),
        st.text('ab,"\r \u597d', max_size=12).map(str.encode),
    ),
    max_size=30,
)
forms = st.sampled_from(["jsonl", "csv", "text"])


@given(any_lines, forms, st.integers(1, 60), st.sampled_from([10, 30, 1000]))
def test_where_blocks_begin_changes_nothing_about_the_rows(
    lines: list[bytes], form: FileFormat, chunk: int, limit: int
) -> None:
    content = b"a,b\n" + b"\n".join(lines)
    whole = parsed(content, form, limit)

    assert parsed(content, form, limit, chunk) == whole
    for place, block in enumerate(blocks_of(content, form, limit, chunk)):
        assert block.index == place
        assert block.rows.num_rows


@given(
    st.one_of(
        st.binary(max_size=200),
        st.binary(max_size=60).map(gzip.compress),
        st.binary(max_size=60).map(lambda rows: pa.compress(rows, "zstd", asbytes=True)),
        any_lines.map(b"\n".join),
    ),
    st.sampled_from([each for each in get_args(FileFormat) if not is_document_format(each)]),
    st.integers(1, 50),
)
def test_no_bytes_end_in_another_error_than_that_the_input_is_invalid(
    content: bytes, file_format: FileFormat, chunk: int
) -> None:
    with suppress(InvalidInputError):
        for row in parsed(content, file_format, 50, chunk):
            assert isinstance(row, SourceRow | RejectedRow)
