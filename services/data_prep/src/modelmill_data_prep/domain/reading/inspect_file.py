"""Detects encoding, delimiter and sheet of a file from its content."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from modelmill_documents.document_format import is_document_format

from modelmill_data_prep.domain.reading.byte_streams import open_content
from modelmill_data_prep.domain.reading.faults import ReadLimits
from modelmill_data_prep.domain.reading.file_form import (
    CODECS,
    DELIMITERS,
    TEXT_UNITS,
    UTF8,
    UTF16,
    FileForm,
    FileFormat,
    row_format_of,
)
from modelmill_data_prep.domain.reading.parse_block import allow_long_fields
from modelmill_data_prep.domain.reading.text_encoding import SNIFFED_BYTES, utf16_of
from modelmill_data_prep.domain.reading.xlsx_blocks import sheet_of

SCANNED_BYTES = 16 * 1024**2
"""Bytes that are scanned for non-ASCII characters."""
JUDGED_BYTES = 256 * 1024
"""Non-ASCII bytes that are sufficient for detection."""
_LEAST_SOUND = 3 / 4
"""Minimum share of non-ASCII lines (by size) that must be valid in a candidate encoding."""
_CHUNK_BYTES = 64 * 1024

_HEADER_BYTES, _COMPARED_RECORDS = 64 * 1024, 50

_NAMES = {codec: name for name, codec in CODECS.items() if name not in (UTF8, *UTF16, "latin-1")}
"""Candidate codecs for non-UTF-8 text; without Latin-1, in which any bytes are valid."""


def inspect_file(
    path: Path, file_format: FileFormat, requested: FileForm, limits: ReadLimits
) -> FileForm:
    """Fill in reading options that are not requested by detection; deterministic.


    Raises:
        InvalidInputError: The file is not of its format.
    """
    rows = row_format_of(file_format)
    if rows == "parquet":
        return FileForm()
    if is_document_format(rows):
        return requested
    if rows == "xlsx":
        return FileForm(sheet=sheet_of(path, limits, requested.sheet))
    form = replace(
        requested,
        encoding=requested.encoding or _encoding(path, file_format, limits),
        text_unit=requested.text_unit or TEXT_UNITS[0],
        delimiter=requested.delimiter or DELIMITERS[0],
    )
    if rows == "csv" and not requested.delimiter:
        return replace(form, delimiter=_delimiter(path, file_format, limits, form.encoding))
    return form


def _encoding(path: Path, file_format: FileFormat, limits: ReadLimits) -> str:
    with open_content(path, file_format, limits) as content:
        opening = content.read(SNIFFED_BYTES)
        if utf16 := utf16_of(opening):
            return utf16
        chunks = iter(lambda: content.read(_CHUNK_BYTES), b"")
        right, wrong = _by_utf8(_lines_beyond_ascii(_chained(opening, chunks)))
    # A few broken rows do not change the encoding, and text in another encoding is hardly ever
    # valid UTF-8 by chance.
    if sum(map(len, wrong)) <= sum(map(len, right)):
        return UTF8
    return _by_language(wrong)


def _by_language(lines: Sequence[bytes]) -> str:
    """Detect the encoding of non-UTF-8 lines by language models; UTF-8 if undecided."""
    # Imported lazily, because few files need it.
    import charset_normalizer

    size = sum(map(len, lines))
    texts = {codec: [line for line in lines if _is_text(line, codec)] for codec in _NAMES}
    likely = [codec for codec in _NAMES if sum(map(len, texts[codec])) >= _LEAST_SOUND * size]
    judged = [line for line in lines if all(_is_text(line, codec) for codec in likely)]
    found = charset_normalizer.from_bytes(
        b"\n".join(judged), cp_isolation=likely, preemptive_behaviour=False
    ).best()
    if not likely or not found or found.encoding not in _NAMES:
        return UTF8
    return _NAMES[found.encoding]


def _is_text(line: bytes, codec: str) -> bool:
    try:
        line.decode(codec)
    except UnicodeDecodeError:
        return False
    return True


def _chained(opening: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    yield opening
    yield from islice(chunks, SCANNED_BYTES // _CHUNK_BYTES)


def _lines_beyond_ascii(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Lines, or pieces of long lines, with non-ASCII bytes."""
    rest = b""
    for chunk in chunks:
        if not rest and chunk.isascii():
            continue
        lines = (rest + chunk).split(b"\n")
        rest = lines.pop()
        if len(rest) > JUDGED_BYTES or rest.isascii():
            lines.append(rest)
            rest = b""
        yield from (line for line in lines if not line.isascii())
    if rest:
        # A cut line may end inside a character.
        yield rest[: rest.rfind(b" ") + 1] or rest


def _by_utf8(lines: Iterator[bytes]) -> tuple[list[bytes], list[bytes]]:
    """Valid and invalid UTF-8 lines, up to `JUDGED_BYTES` in total."""
    right: list[bytes] = []
    wrong: list[bytes] = []
    size = 0
    for line in lines:
        line = line[:JUDGED_BYTES]
        (right if _is_text(line, "utf-8") else wrong).append(line)
        size += len(line)
        if size >= JUDGED_BYTES:
            break
    return right, wrong


def _delimiter(path: Path, file_format: FileFormat, limits: ReadLimits, encoding: str) -> str:
    """The delimiter that gives consistent field counts in the first records, and the most
    fields."""
    with open_content(path, file_format, limits, encoding) as content:
        opening = content.read(_HEADER_BYTES)
    codec = "utf-8" if encoding in UTF16 else CODECS[encoding]
    whole = opening.rfind(b"\n") + 1 or len(opening)
    lines = opening[:whole].decode(codec, "replace").splitlines(keepends=True)
    # `max` returns the first of equal candidates.
    return max(DELIMITERS, key=lambda delimiter: _fit(lines, delimiter))


def _fit(lines: Sequence[str], delimiter: str) -> tuple[float, int]:
    """(Share of records with the header's field count, field count); zeros for one field."""
    allow_long_fields()
    try:
        records = [record for record in csv.reader(lines, delimiter=delimiter) if record]
    except csv.Error:
        return 0.0, 0
    if not records or len(records[0]) < 2 or not all(map(str.strip, records[0])):
        return 0.0, 0
    compared = records[1 : _COMPARED_RECORDS + 1]
    same = sum(len(record) == len(records[0]) for record in compared)
    return (same / len(compared) if compared else 1.0), len(records[0])
