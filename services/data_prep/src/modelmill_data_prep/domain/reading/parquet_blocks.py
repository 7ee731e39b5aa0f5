"""Blocks of a Parquet file, with rows as JSON."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute
from modelmill_service_kit.errors import InvalidInputError
from pyarrow import parquet

from modelmill_data_prep.domain.blocks import Block
from modelmill_data_prep.domain.reading.faults import NOT_UTF8, ReadLimits
from modelmill_data_prep.domain.reading.file_form import FileForm
from modelmill_data_prep.domain.reading.line_blocks import BlockMaker, RawRow, kept_bytes_of
from modelmill_data_prep.domain.reading.table_rows import json_row

_READ_ROWS = 256
"""Rows per decoded batch."""

_LISTED_ERRORS = 20

_SLICE_BYTES = 8 * 1024**2
"""Bound on expanded values, as dictionary encoding stores a repeated value only once."""


def read_parquet_blocks(path: Path, limits: ReadLimits) -> Iterator[Block]:
    """All rows as JSON objects with columns in file order.

    Times are ISO 8601, decimals are strings, and NaN is null.


    Raises:
        InvalidInputError: The file is not Parquet, corrupt, or exceeds a limit.
    """
    with _opened(path, limits) as file:
        yield from _blocks(file, path.stat().st_size, limits)


def check_parquet(path: Path, limits: ReadLimits) -> None:
    """Check the metadata; raises as `read_parquet_blocks`."""
    with _opened(path, limits):
        pass


@contextmanager
def _opened(path: Path, limits: ReadLimits) -> Iterator[Any]:
    try:
        with parquet.ParquetFile(path, read_dictionary=_repeated_texts(path)) as file:
            _check_size(file.metadata, limits)
            yield file
    except MemoryError:
        raise
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InvalidInputError("the file is no Parquet file, or a damaged one") from error


def _check_size(metadata: Any, limits: ReadLimits) -> None:
    held = sum(metadata.row_group(n).total_byte_size for n in range(metadata.num_row_groups))
    if held > limits.max_content_bytes:
        raise InvalidInputError(f"the file holds more than {limits.max_content_bytes} bytes")
    names = metadata.schema.to_arrow_schema().names
    twice = sorted(name for name, times in Counter(names).items() if times > 1)
    if twice:
        errors = [f"the file has two columns {name[:64]!r}" for name in twice[:_LISTED_ERRORS]]
        raise InvalidInputError(errors)


def _blocks(file: Any, stored_bytes: int, limits: ReadLimits) -> Iterator[Block]:
    total, done = max(file.metadata.num_rows, 1), 0
    # Binary at any nesting level needs decoding before JSON.
    has_bytes = any("binary" in str(field.type) for field in file.schema_arrow)
    make = BlockMaker("json", (), limits, FileForm(), lambda: done * stored_bytes // total)
    waiting: list[RawRow] = []
    size, number = 0, 0
    for batch in file.iter_batches(batch_size=min(_READ_ROWS, limits.block_rows)):
        for columns in _rows_of(batch):
            number += 1
            most = limits.max_row_bytes
            if isinstance(columns, bytes):
                waiting.append((number, columns[: kept_bytes_of(most)], NOT_UTF8.written))
            else:
                waiting.append(json_row(number, columns, most, has_bytes=has_bytes))
            size += len(waiting[-1][1])
            if len(waiting) >= limits.block_rows or size >= limits.chunk_bytes:
                done = number
                yield from make.of_rows(waiting)
                waiting, size = [], 0
    done = number
    yield from make.of_rows(waiting)


def _rows_of(batch: pa.RecordBatch) -> Iterator[dict[str, Any] | bytes]:
    """Rows of a batch, converted in smaller slices if values are large.

    A row with invalid UTF-8 is returned as bytes of its top-level strings.
    """
    largest = sum(_largest_value(column) for column in batch.columns)
    step = max(1, min(batch.num_rows, _SLICE_BYTES // max(largest, 1)))
    for first in range(0, batch.num_rows, step):
        part = batch.slice(first, step)
        columns = [
            column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
            for column in part.columns
        ]
        part = pa.RecordBatch.from_arrays(columns, names=batch.schema.names)
        try:
            yield from part.to_pylist()
        except UnicodeDecodeError:
            yield from (_row_or_bytes(part.slice(place, 1)) for place in range(part.num_rows))


def _row_or_bytes(row: pa.RecordBatch) -> dict[str, Any] | bytes:
    try:
        columns: dict[str, Any] = row.to_pylist()[0]
    except UnicodeDecodeError:
        texts = [column for column in row.columns if pa.types.is_string(column.type)]
        return b" ".join(column.cast(pa.binary())[0].as_py() or b"" for column in texts)
    return columns


def _largest_value(column: pa.Array) -> int:
    """Size of the largest value of a dictionary column; 0 for others, which are expanded anyway."""
    if not pa.types.is_dictionary(column.type):
        return 0
    lengths = pa.compute.binary_length(column.dictionary)
    return int(pa.compute.max(lengths).as_py() or 0)


def _repeated_texts(path: Path) -> list[str]:
    """String and binary columns, which Parquet may store dictionary-encoded."""
    schema = parquet.read_schema(path)
    return [
        field.name
        for field in schema
        if pa.types.is_string(field.type) or pa.types.is_binary(field.type)
    ]
