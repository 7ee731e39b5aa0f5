"""File formats by name extension, and reading options: encoding, delimiter, text unit, sheet."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from modelmill_documents.document_format import FORMAT_OF_ENDING, is_document_format
from modelmill_documents.passages import DEFAULT_TOKENS, PassageSize
from modelmill_service_kit.errors import InvalidInputError

RowFormat = Literal["jsonl", "csv", "parquet", "text", "xlsx", "pdf", "docx", "html", "markdown"]
Compression = Literal["", "gz", "zst"]

FileFormat = Literal[
    "jsonl", "jsonl.gz", "jsonl.zst", "csv", "csv.gz", "csv.zst", "text", "text.gz", "text.zst",
    "parquet", "xlsx", "pdf", "docx", "html", "markdown",
]  # fmt: skip
"""Row format with optional compression."""

PLAIN_FORMATS: tuple[FileFormat, ...] = ("jsonl", "csv", "text")
"""Uncompressed text formats."""

_FORMAT_OF_ENDING: dict[str, FileFormat] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "text",
    ".jsonl.gz": "jsonl.gz",
    ".ndjson.gz": "jsonl.gz",
    ".csv.gz": "csv.gz",
    ".tsv.gz": "csv.gz",
    ".txt.gz": "text.gz",
    ".jsonl.zst": "jsonl.zst",
    ".ndjson.zst": "jsonl.zst",
    ".csv.zst": "csv.zst",
    ".tsv.zst": "csv.zst",
    ".txt.zst": "text.zst",
    ".parquet": "parquet",
    ".xlsx": "xlsx",
    **FORMAT_OF_ENDING,
}

ENDINGS = (
    ".jsonl, .ndjson, .csv, .tsv, .txt (each also with .gz or .zst), .parquet, .xlsx, .pdf, .docx,"
    " .html, .htm, .xhtml, .md or .markdown"
)
"""Supported extensions, for error messages."""


def format_of(filename: str) -> FileFormat | None:
    """Format by extension, case-insensitive; None if unsupported."""
    name = filename.lower()
    fits = [ending for ending in _FORMAT_OF_ENDING if name.endswith(ending)]
    return _FORMAT_OF_ENDING[max(fits, key=len)] if fits else None


def row_format_of(file_format: FileFormat) -> RowFormat:
    """Row format of a file format."""
    rows: RowFormat = file_format.partition(".")[0]  # type: ignore[assignment]
    return rows


def compression_of(file_format: FileFormat) -> Compression:
    """Compression of a file format; empty for none."""
    compression: Compression = file_format.partition(".")[2]  # type: ignore[assignment]
    return compression


UTF8 = "utf-8"
UTF16 = ("utf-16-le", "utf-16-be")

CODECS: Mapping[str, str] = {
    UTF8: "utf-8",
    "utf-16-le": "utf-16-le",
    "utf-16-be": "utf-16-be",
    "gb18030": "gb18030",
    "big5": "cp950",
    "shift_jis": "cp932",
    "windows-1252": "cp1252",
    "latin-1": "latin-1",
}
"""Supported encodings with Python codecs (the Windows superset where there is one).

All but UTF-16 encode line feed, quote and white space as in ASCII, and use these bytes for nothing
else.
"""

_SAME = {
    "utf8": UTF8,
    "utf-8-sig": UTF8,
    "ascii": UTF8,
    "utf-16le": "utf-16-le",
    "utf-16be": "utf-16-be",
    "gbk": "gb18030",
    "gb2312": "gb18030",
    "cp936": "gb18030",
    "cp950": "big5",
    "shift-jis": "shift_jis",
    "sjis": "shift_jis",
    "cp932": "shift_jis",
    "cp1252": "windows-1252",
    "latin1": "latin-1",
    "iso-8859-1": "latin-1",
}
DELIMITERS = (",", "\t", ";", "|")
TEXT_UNITS = ("paragraph", "line")


@dataclass(frozen=True)
class FileForm:
    """Reading options; empty fields of a request are detected from the file."""

    encoding: str = UTF8
    """A key of `CODECS`."""
    delimiter: str = ","
    """Delimiter of CSV files."""
    text_unit: str = "paragraph"
    """Row unit of plain text files, one of `TEXT_UNITS`."""
    sheet: str = ""
    """Sheet of a workbook; empty for the first."""
    passage_tokens: int = DEFAULT_TOKENS
    """Most tokens of a document's passage: words, Han characters and marks."""
    passage_characters: int = 0
    """Most characters of a document's passage, instead of tokens."""

    @property
    def passage_size(self) -> PassageSize:
        """How documents are cut."""
        return PassageSize(self.passage_tokens, self.passage_characters)


def form_of_rows(form: FileForm, rows: RowFormat) -> dict[str, Any]:
    """The options that apply to a row format, by field name."""
    is_document = is_document_format(rows)
    matters = {
        "encoding": rows not in ("parquet", "xlsx") and not is_document,
        "delimiter": rows == "csv",
        "text_unit": rows == "text",
        "sheet": rows == "xlsx",
        "passage_tokens": is_document and not form.passage_characters,
        "passage_characters": is_document and bool(form.passage_characters),
    }
    return {name: getattr(form, name) for name, shown in matters.items() if shown}


AS_DETECTED = FileForm("", "", "", "")
PASSAGE_TOKENS, PASSAGE_CHARACTERS = (16, 65_536), (64, 262_144)
"""Fewest and most of a passage."""


def plan_reading(spec: Mapping[str, Any]) -> FileForm:
    """Validate a `modelmill.data_prep.v1.ReadingSpec`, given as a mapping.

    Raises:
        InvalidInputError: Lists every error.
    """
    encoding = str(spec.get("encoding", "")).lower()
    requested = FileForm(
        _SAME.get(encoding, encoding),
        str(spec.get("delimiter", "")),
        str(spec.get("text_unit", "")),
        str(spec.get("sheet", "")),
        int(spec.get("passage_tokens", 0)) or DEFAULT_TOKENS,
        int(spec.get("passage_characters", 0)),
    )
    errors = [
        f"reading: {name} must be one of {', '.join(map(repr, known))}, got {value[:40]!r}"
        for name, value, known in (
            ("encoding", requested.encoding, tuple(CODECS)),
            ("delimiter", requested.delimiter, DELIMITERS),
            ("text_unit", requested.text_unit, TEXT_UNITS),
        )
        if value and value not in known
    ]
    errors += _passage_errors(spec)
    if errors:
        raise InvalidInputError(errors)
    return requested


def _passage_errors(spec: Mapping[str, Any]) -> list[str]:
    sizes = {"passage_tokens": PASSAGE_TOKENS, "passage_characters": PASSAGE_CHARACTERS}
    given = {name: int(spec.get(name, 0)) for name in sizes}
    errors = [
        f"reading: {name} must be {sizes[name][0]} to {sizes[name][1]}, got {value}"
        for name, value in given.items()
        if value and not sizes[name][0] <= value <= sizes[name][1]
    ]
    if all(given.values()):
        errors.append("reading: give either passage_tokens or passage_characters, not both")
    return errors
