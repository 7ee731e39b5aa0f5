"""Source files of a dataset, read as blocks: one, or several as if they were one."""

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from modelmill_data_prep.domain.blocks import Block
from modelmill_data_prep.domain.reading.faults import ReadLimits
from modelmill_data_prep.domain.reading.file_form import (
    FileForm,
    FileFormat,
    form_of_rows,
    row_format_of,
)
from modelmill_data_prep.domain.reading.named_errors import named
from modelmill_data_prep.domain.reading.read_blocks import read_blocks
from modelmill_data_prep.domain.row_numbers import FILE_STEP


class RowSource(Protocol):
    """What the rows of a dataset are read from."""

    @property
    def size_bytes(self) -> int:
        """Stored bytes."""

    @property
    def described(self) -> dict[str, Any]:
        """Format and reading options, for the report."""

    def blocks(self, limits: ReadLimits) -> Generator[Block, None, None]:
        """As `read_blocks`."""


@dataclass(frozen=True)
class SourceFile:
    """A source file with its reading options."""

    path: Path
    format: FileFormat
    form: FileForm = FileForm()  # noqa: RUF009
    name: str = ""
    """As people know it."""

    @property
    def size_bytes(self) -> int:
        return self.path.stat().st_size

    @property
    def described(self) -> dict[str, Any]:
        return {"format": self.format, **form_of_rows(self.form, row_format_of(self.format))}

    def blocks(self, limits: ReadLimits) -> Generator[Block, None, None]:
        return read_blocks(self.path, self.format, limits, self.form, self.name)


@dataclass(frozen=True)
class SourceFiles:
    """Several source files, read in order; rows are numbered by file and line."""

    files: Sequence[SourceFile]

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)

    @property
    def described(self) -> dict[str, Any]:
        return {"files": [{"name": file.name, **file.described} for file in self.files]}

    def blocks(self, limits: ReadLimits) -> Generator[Block, None, None]:
        index = read_before = 0
        for number, file in enumerate(self.files, start=1):
            with closing(file.blocks(limits)) as blocks, named(file.name):
                for block in blocks:
                    rows, read = _numbered(block.rows, number), read_before + block.bytes_read
                    yield replace(block, index=index, rows=rows, bytes_read=read)
                    index += 1
            read_before += file.size_bytes


def _numbered(rows: pa.RecordBatch, file: int) -> pa.RecordBatch:
    place = rows.schema.get_field_index("line")
    start = pa.scalar(file * FILE_STEP, pa.int64())
    numbers = pa.compute.add(rows.column(place), start)
    return rows.set_column(place, rows.schema.field(place), numbers)
