"""Files in every format, broken before or after they were compressed."""

import zlib
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from modelmill_data_prep.domain.blocks import RAW_CHARACTERS, RejectedRow
from modelmill_data_prep.domain.mapping.row_mapping import plan_mapping
from modelmill_data_prep.domain.reading.faults import ReadLimits
from modelmill_data_prep.domain.reading.file_form import (
    CODECS,
    DELIMITERS,
    UTF16,
    FileForm,
    FileFormat,
    compression_of,
    row_format_of,
)
from modelmill_data_prep.domain.reading.inspect_file import inspect_file
from modelmill_data_prep.domain.reading.parse_block import parse_block
from modelmill_data_prep.domain.reading.read_blocks import check_opening, read_blocks
from modelmill_documents.columns import LAYOUT_COLUMNS
from modelmill_service_kit.errors import InvalidInputError

from tests.fuzz.mutations import broken_file, seeds_of
from tests.fuzz.row_parsers import Row, check_mapped
from tests.fuzz.tally import FuzzError

MAX_ROW_BYTES = (50, 2_000, 50_000)
CHUNKS = (7, 64, 1000)
WHOLE = 1 << 20
"""A piece that holds any of these files."""
MAPPINGS = [plan_mapping({"layout": layout}) for layout in LAYOUT_COLUMNS]
MAPPINGS.append(plan_mapping({"user_template": "{q}", "answer_template": "{a}"}))


class FileParser:
    """Reads a file of one format.

    Promised, in any encoding: rows are the same in whatever pieces a file is read; they come in the
    order of their lines, each once, and are mapped or quarantined; a refused row has a rule and a
    bounded sample; a file whose rows can be read has an opening that is not refused; a gzip file
    that zlib reads has the rows, or the fault, of its content.
    """

    def __init__(self, file_format: FileFormat) -> None:
        self._format = file_format
        self._seeds = seeds_of(file_format)

    def make(self, random: Random) -> bytes:
        """As `Parser.make`."""
        return broken_file(random, self._format, self._seeds)

    def execute(self, path: Path) -> int:
        """As `Parser.execute`."""
        chance = Random(path.read_bytes())
        chunk, limit = chance.choice(CHUNKS), chance.choice(MAX_ROW_BYTES)
        form = _form(path, self._format, chance)
        rows = rows_or_none(path, self._format, WHOLE, limit, form)
        if rows_or_none(path, self._format, chunk, limit, form) != rows:
            raise FuzzError(f"other rows when read by {chunk} bytes")
        if compression_of(self._format) == "gz":
            self._check_gzip(path, rows, limit, form)
        if rows is None:
            raise InvalidInputError("refused")
        check_opening(path, self._format)
        # A character of one byte has two in UTF-16.
        _check_rows(rows, 2 * limit if form.encoding in UTF16 else limit)
        check_mapped(rows, chance.choice(MAPPINGS))
        return len(rows)

    def _check_gzip(self, path: Path, rows: list[Row] | None, limit: int, form: FileForm) -> None:
        try:
            content = _gunzipped(path.read_bytes())
        except zlib.error:
            return
        with TemporaryDirectory() as folder:
            plain = Path(folder) / "plain"
            plain.write_bytes(content)
            if rows_or_none(plain, row_format_of(self._format), WHOLE, limit, form) != rows:
                raise FuzzError("other rows than those of its content")


def _form(path: Path, file_format: FileFormat, chance: Random) -> FileForm:
    """What the file shows, or what it need not be."""
    requested = FileForm(chance.choice(["", *CODECS]), chance.choice(["", *DELIMITERS]), "")
    try:
        return inspect_file(path, file_format, chance.choice([FileForm(), requested]), ReadLimits())
    except InvalidInputError:
        return FileForm()


def _gunzipped(content: bytes) -> bytes:
    """The text of a gzip file, read to its end and as strictly as RFC 1952 asks for.

    Raises:
        zlib.error: It is none.
    """
    parts = []
    while True:
        member = zlib.decompressobj(zlib.MAX_WBITS | 16)
        parts.append(member.decompress(content))
        if not member.eof:
            raise zlib.error("cut short")
        if not (content := member.unused_data):
            return b"".join(parts)


def rows_or_none(
    path: Path, file_format: FileFormat, chunk: int, max_row_bytes: int, form: FileForm
) -> list[Row] | None:
    """All rows, read in pieces of `chunk` bytes; None when the file is refused."""
    limits = ReadLimits(max_row_bytes=max_row_bytes, chunk_bytes=chunk, block_rows=50)
    try:
        return [
            row
            for block in read_blocks(path, file_format, limits, form)
            for row in parse_block(block)
        ]
    except InvalidInputError:
        return None


def _check_rows(rows: list[Row], limit: int) -> None:
    lines = [row.line for row in rows]
    if lines != sorted(set(lines)) or (lines and lines[0] < 1):
        raise FuzzError("lines are not in their order")
    for row in rows:
        if isinstance(row, RejectedRow):
            if not row.rule.startswith("read.") or len(row.raw) > RAW_CHARACTERS:
                raise FuzzError(f"a refused row has rule {row.rule!r}, {len(row.raw)} characters")
        elif len(row.raw) > limit:
            raise FuzzError(f"a row of {len(row.raw)} bytes is kept")
