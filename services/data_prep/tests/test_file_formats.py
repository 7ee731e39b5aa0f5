"""Compressed files, Parquet and plain texts: the same rows, bounded, or a clear refusal."""

import gzip
import io
import json
import math
import random
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from modelmill_data_prep.domain.blocks import SourceRow
from modelmill_data_prep.domain.reading.faults import ReadLimits
from modelmill_data_prep.domain.reading.file_form import FileFormat
from modelmill_data_prep.domain.reading.parse_block import parse_block
from modelmill_data_prep.domain.reading.read_blocks import check_opening, read_blocks
from modelmill_service_kit.errors import InvalidInputError
from pyarrow import parquet

ROWS = b"".join(b'{"n": %d, "text": "row"}\n' % n for n in range(5_000))
AT_ONCE = ", from byte offset 0 of the row"
NOISE = random.Random(7).randbytes(200_000).hex().encode()
"""Hardly gets smaller."""


def read(
    path: Path, content: bytes, file_format: FileFormat, **limits: int
) -> list[tuple[int, Any]]:
    """Each row as (line, its columns) or (line, the reason)."""
    path.write_bytes(content)
    blocks = read_blocks(path, file_format, ReadLimits(**limits))
    return [
        (row.line, dict(row.columns) if isinstance(row, SourceRow) else row.reason)
        for block in blocks
        for row in parse_block(block)
    ]


def zstd(content: bytes) -> bytes:
    compressed: bytes = pa.compress(content, "zstd", asbytes=True)
    return compressed


def table(columns: dict[str, Any], **options: Any) -> bytes:
    written = io.BytesIO()
    parquet.write_table(pa.table(columns), written, **options)
    return written.getvalue()


def test_a_compressed_file_has_the_rows_of_the_file_as_it_was(tmp_path: Path) -> None:
    plain = read(tmp_path / "file", ROWS, "jsonl")

    assert len(plain) == 5_000
    assert read(tmp_path / "file", gzip.compress(ROWS), "jsonl.gz") == plain
    assert read(tmp_path / "file", zstd(ROWS), "jsonl.zst") == plain
    halves = gzip.compress(ROWS[:20_000]) + gzip.compress(ROWS[20_000:])
    assert read(tmp_path / "file", halves, "jsonl.gz") == plain


@pytest.mark.parametrize("file_format", ["jsonl.gz", "jsonl.zst"])
def test_an_archive_that_was_cut_or_is_none_is_refused(
    tmp_path: Path, file_format: FileFormat
) -> None:
    whole = (gzip.compress if file_format == "jsonl.gz" else zstd)(NOISE)
    for cut in (1, 20, len(whole) // 2):
        with pytest.raises(InvalidInputError, match="damaged"):
            read(tmp_path / "file", whole[:-cut], file_format)
    for content in (b"{}\n", b"", b"PK\x03\x04"):
        with pytest.raises(InvalidInputError, match="is no "):
            read(tmp_path / "file", content, file_format)


def test_a_gzip_file_of_which_bytes_changed_is_refused(tmp_path: Path) -> None:
    whole = gzip.compress(NOISE)
    middle = len(whole) // 2
    changed = whole[:middle] + b"\xff" * 40 + whole[middle + 40 :]

    with pytest.raises(InvalidInputError, match="damaged"):
        read(tmp_path / "file", changed, "jsonl.gz")


def test_what_expands_beyond_reason_is_refused_before_it_fills_anything(tmp_path: Path) -> None:
    bomb = gzip.compress(b" " * 64 * 1024**2)
    assert len(bomb) < 100_000

    with pytest.raises(InvalidInputError, match="expands to more than 250 times"):
        read(tmp_path / "file", bomb, "jsonl.gz")
    with pytest.raises(InvalidInputError, match="holds more than 1000000 bytes"):
        read(tmp_path / "file", zstd(ROWS * 10), "jsonl.zst", max_content_bytes=1_000_000)
    twice = gzip.compress(gzip.compress(ROWS))
    with pytest.raises(InvalidInputError, match="compressed by gzip"):
        read(tmp_path / "file", twice, "jsonl.gz")


def test_parquet_rows_become_json_with_the_columns_in_their_order(tmp_path: Path) -> None:
    content = table(
        {
            "text": ["a", None, "好"],
            "n": [1, 2, None],
            "x": [0.5, math.nan, None],
            "when": [datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)] * 3,
            "cost": pa.array([Decimal("1.50")] * 3, pa.decimal128(5, 2)),
            "messages": [[{"role": "user", "content": "x"}]] * 3,
            "raw": pa.array([b"ok"] * 3, pa.binary()),
        },
        row_group_size=2,
    )

    rows = read(tmp_path / "file", content, "parquet")

    assert [line for line, _ in rows] == [1, 2, 3]
    assert list(rows[0][1]) == ["text", "n", "x", "when", "cost", "messages", "raw"]
    assert rows[0][1] == {
        "text": "a",
        "n": 1,
        "x": 0.5,
        "when": "2025-01-02T03:04:05Z",
        "cost": "1.50",
        "messages": [{"role": "user", "content": "x"}],
        "raw": "ok",
    }
    assert [columns["x"] for _, columns in rows] == [0.5, None, None]
    assert [columns["text"] for _, columns in rows] == ["a", None, "好"]


def test_a_parquet_row_that_is_no_json_or_too_long_costs_itself_alone(tmp_path: Path) -> None:
    content = table({"raw": pa.array([b"a", b"\xff", b"x" * 2000, b"b"], pa.binary())})

    assert read(tmp_path / "file", content, "parquet", max_row_bytes=1000) == [
        (1, {"raw": "a"}),
        (2, "not UTF-8"),
        (3, "longer than 1000 bytes"),
        (4, {"raw": "b"}),
    ]


def test_a_large_text_that_a_parquet_file_holds_once_is_written_out_row_by_row(
    tmp_path: Path,
) -> None:
    texts = pa.DictionaryArray.from_arrays(
        pa.array([0] * 500, pa.int32()), pa.array(["x" * 400_000])
    )
    path = tmp_path / "file"
    path.write_bytes(table({"text": texts}))
    assert path.stat().st_size < 100_000

    before = pa.total_allocated_bytes()
    blocks = 0
    for block in read_blocks(path, "parquet", ReadLimits()):
        blocks += block.rows.num_rows
        # All rows together are 200 MB.
        assert pa.total_allocated_bytes() - before < 40_000_000
    assert blocks == 500


@pytest.mark.parametrize(
    "content",
    [b"", b"PAR1", b"PAR1" + b"x" * 100 + b"PAR1", table({"a": [1]})[:-9] + b"12345PAR1"],
)
def test_what_is_no_parquet_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)

    with pytest.raises(InvalidInputError, match="no Parquet file"):
        check_opening(path, "parquet")
    with pytest.raises(InvalidInputError, match="no Parquet file"):
        list(read_blocks(path, "parquet", ReadLimits()))


def test_a_parquet_file_that_says_it_holds_too_much_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(table({"n": list(range(10_000))}))

    with pytest.raises(InvalidInputError, match="holds more than 1000 bytes"):
        list(read_blocks(path, "parquet", ReadLimits(max_content_bytes=1000)))


def test_a_parquet_file_whose_few_bytes_stand_for_more_than_memory_is_refused(
    tmp_path: Path,
) -> None:
    texts = pa.DictionaryArray.from_arrays(
        pa.array([0] * 300, pa.int32()), pa.array(["x" * (8 << 20)])
    )
    content = table({"it": pa.StructArray.from_arrays([texts], ["text"])}, store_schema=False)
    assert len(content) < 1 << 20
    limits = {"memory_bytes": 256 << 20}
    assert read(tmp_path / "file", table({"n": [1]}), "parquet", **limits) == [(1, {"n": 1})]

    with pytest.raises(InvalidInputError, match="of memory at a time"):
        read(tmp_path / "file", content, "parquet", **limits)
    assert read(tmp_path / "file", table({"n": [1]}), "parquet", **limits) == [(1, {"n": 1})]


def test_a_plain_text_has_a_document_for_each_paragraph(tmp_path: Path) -> None:
    content = b"\xef\xbb\xbfOne line\nand more.\n\n \t\nTwo\r\n\r\n\xff\n\nEnd"

    assert read(tmp_path / "file", content, "text") == [
        (1, {"text": "One line\nand more."}),
        (5, {"text": "Two"}),
        (7, f"not UTF-8{AT_ONCE}"),
        (9, {"text": "End"}),
    ]


def test_a_long_paragraph_is_cut_at_the_ends_of_lines(tmp_path: Path) -> None:
    content = b"1234\n5678\n9012\n" + b"x" * 25 + b"\nab\n" + b"y" * 200 + b"\nend\n"

    assert read(tmp_path / "file", content, "text", max_document_bytes=10, max_row_bytes=100) == [
        (1, {"text": "1234\n5678"}),
        (3, {"text": "9012"}),
        (4, {"text": "x" * 25}),
        (5, {"text": "ab"}),
        (6, "longer than 100 bytes"),
        (7, {"text": "end"}),
    ]


def test_no_document_is_longer_than_a_row(tmp_path: Path) -> None:
    content = b"1234\n5678\n9012\n" + b"y" * 11

    assert read(tmp_path / "file", content, "text", max_row_bytes=10) == [
        (1, {"text": "1234\n5678"}),
        (3, {"text": "9012"}),
        (4, "longer than 10 bytes"),
    ]


def test_an_empty_file_has_no_rows(tmp_path: Path) -> None:
    for file_format in ("jsonl", "text"):
        assert read(tmp_path / "file", b"", file_format) == []
    assert read(tmp_path / "file", gzip.compress(b""), "jsonl.gz") == []
    assert read(tmp_path / "file", table({"a": []}), "parquet") == []


def test_a_block_takes_along_its_own_bytes_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(ROWS)

    blocks = list(read_blocks(path, "jsonl", ReadLimits(block_rows=100)))

    assert len(blocks) == 50
    assert all(block.rows.num_rows == 100 for block in blocks)
    for block in blocks:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, block.rows.schema) as stream:
            stream.write_batch(block.rows)
        assert sink.getvalue().size < 8_000
    assert json.loads(blocks[-1].rows.column("raw")[-1].as_py())["n"] == 4_999


def test_a_parquet_text_that_is_no_utf8_costs_its_row_alone(tmp_path: Path) -> None:
    broken = pa.array([b"a", b"\xff\xfe", b"c"]).view(pa.string())

    rows = read(tmp_path / "file", table({"n": [1, 2, 3], "text": broken}), "parquet")

    assert rows == [
        (1, {"n": 1, "text": "a"}),
        (2, f"not UTF-8{AT_ONCE}"),
        (3, {"n": 3, "text": "c"}),
    ]
