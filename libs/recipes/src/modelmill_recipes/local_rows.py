"""Rows of files on this machine, for proposals and estimates. Data-prep reads more, and decides."""

import csv
import gzip
import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from io import TextIOWrapper
from pathlib import Path
from typing import IO, Any

from modelmill_documents.document_format import DocumentFormat, document_format_of
from modelmill_documents.errors import DocumentError
from modelmill_documents.parse_document import DocumentParser
from modelmill_documents.passages import DEFAULT_TOKENS, PassageSize, passages_of
from modelmill_documents.readers.encoding import encoding_of
from modelmill_service_kit.errors import InvalidInputError

DELIMITERS = ",;\t|"
JSON_ENDINGS = (".jsonl", ".ndjson", ".json")
MAX_FIELD_CHARACTERS = 1 << 24
HEAD_BYTES = 1 << 18
"""By which an encoding is detected."""
PASSAGE_COLUMNS = ("text", "file", "page", "section", "offset")
"""Columns of every document, as data-prep has them."""

Row = dict[str, Any]


class UnreadHereError(InvalidInputError):
    """A file whose rows this machine does not read; data-prep may."""


class LocalRows:
    """Rows of one file, and how far it is read.

    Args:
        reading: As in `data.reading` of a recipe; encoding, delimiter and size of passages are
            used.
    """

    def __init__(self, file: Path, reading: Mapping[str, Any] | None = None) -> None:
        self._file = file
        self._reading = reading or {}
        self._content: IO[bytes] | None = None
        self.size_bytes = file.stat().st_size

    @property
    def share_read(self) -> float:
        """Share of the file's bytes that was read; 1 where it is not known."""
        if self._content is None or self._content.closed:
            return 1.0
        return min(self._content.tell() / max(self.size_bytes, 1), 1.0)

    def __iter__(self) -> Iterator[Row]:
        """Every row that can be read; others are left out, as is a document that is refused.

        Raises:
            UnreadHereError: It is none of JSON lines, CSV, text, Parquet and documents, or in an
                unknown encoding.
            OSError: It cannot be read.
        """
        name = self._file.name.lower().removesuffix(".gz")
        if name.endswith(".parquet"):
            yield from self._parquet()
            return
        if document_format := document_format_of(self._file.name):
            yield from self._passages(document_format)
            return
        try:
            with ExitStack() as stack:
                lines = self._opened(stack, str(self._reading.get("encoding") or ""))
                if name.endswith(JSON_ENDINGS):
                    yield from _json_rows(lines)
                elif name.endswith((".csv", ".tsv")):
                    yield from _csv_rows(lines, str(self._reading.get("delimiter") or ""))
                elif name.endswith(".txt"):
                    yield from _texts(lines, self._reading.get("text_unit") == "line")
                else:
                    raise ValueError("its format is read by data-prep alone")
        except (UnicodeError, LookupError, ValueError, csv.Error, EOFError) as error:
            raise UnreadHereError(f"{self._file}: not read here: {error}") from None

    def _opened(self, stack: ExitStack, encoding: str) -> Iterator[str]:
        self._content = stack.enter_context(self._file.open("rb"))
        content: Any = self._content
        if self._file.name.lower().endswith(".gz"):
            content = stack.enter_context(gzip.GzipFile(fileobj=content))
        if not encoding:
            encoding = encoding_of(content.read(HEAD_BYTES))
            content.seek(0)
        return stack.enter_context(TextIOWrapper(content, encoding=encoding, newline=""))

    def _passages(self, document_format: DocumentFormat) -> Iterator[Row]:
        tokens = int(self._reading.get("passage_tokens") or DEFAULT_TOKENS)
        size = PassageSize(tokens, int(self._reading.get("passage_characters") or 0))
        try:
            with DocumentParser() as parser:
                blocks = parser.blocks(self._file, document_format)
        except DocumentError:
            return  # data-prep names it in the dataset's report
        for text, page, section, offset in passages_of(blocks, size):
            values = (text, self._file.name, page, section, offset)
            yield dict(zip(PASSAGE_COLUMNS, values, strict=True))

    def _parquet(self) -> Iterator[Row]:
        try:
            # Of the services: installations of the client alone have none.
            from pyarrow import ArrowException, parquet
        except ImportError:
            raise UnreadHereError(f"{self._file}: Parquet is read with pyarrow") from None
        try:
            with parquet.ParquetFile(self._file) as table:
                for batch in table.iter_batches():
                    yield from batch.to_pylist()
        except ArrowException as error:
            raise UnreadHereError(f"{self._file}: not read here: {error}") from None


def _json_rows(lines: Iterator[str]) -> Iterator[Row]:
    for line in lines:
        try:
            row = json.loads(line) if line.strip() else None
        except ValueError:
            continue
        if isinstance(row, dict):
            yield row


def _csv_rows(lines: Iterator[str], delimiter: str) -> Iterator[Row]:
    csv.field_size_limit(MAX_FIELD_CHARACTERS)
    head = next(lines, "")
    names = next(csv.reader([head], delimiter=delimiter or max(DELIMITERS, key=head.count)), [])
    for row in csv.DictReader(lines, names, delimiter=delimiter or max(DELIMITERS, key=head.count)):
        yield {name: value for name, value in row.items() if name is not None}


def _texts(lines: Iterator[str], by_line: bool) -> Iterator[Row]:
    text = ""
    for line in lines:
        if by_line or not line.strip():
            if found := (line if by_line else text).strip():
                yield {"text": found}
            text = ""
        else:
            text += line
    if text.strip():
        yield {"text": text.strip()}
