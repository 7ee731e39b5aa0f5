"""Passages of documents and plain texts of this machine, with the place of each."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelmill_documents.document_blocks import DocumentBlock
from modelmill_documents.document_format import document_format_of
from modelmill_documents.errors import DocumentError
from modelmill_documents.parse_document import DocumentParser
from modelmill_documents.passages import Passage, PassageSize, passages_of
from modelmill_service_kit.errors import InvalidInputError

FEWEST_CHARACTERS = 40
"""Shorter passages say too little to be asked about."""


@dataclass(frozen=True)
class SourcePassage:
    """A passage, and the file that it is from."""

    text: str
    file: str
    page: int | None
    section: str
    offset: int

    @property
    def digest(self) -> str:
        """sha256 of the text."""
        return hashlib.sha256(self.text.encode("utf-8", "replace")).hexdigest()

    @property
    def place(self) -> Mapping[str, Any]:
        """As rows of data-prep name it."""
        return {
            "file": self.file,
            "page": self.page,
            "section": self.section,
            "offset": self.offset,
        }


@dataclass(frozen=True)
class SourcePassages:
    """What there is to ask about."""

    passages: Sequence[SourcePassage]
    """Each text once, in the order of the files."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Why, by file."""


def read_passages(files: Sequence[Path], size: PassageSize) -> SourcePassages:
    """Passages of all files; a document that is refused does not keep others from being read.

    Raises:
        InvalidInputError: A file is neither a document nor a text; or none has a passage.
    """
    if strange := [file for file in files if not _is_readable(file)]:
        raise InvalidInputError(
            [f"{file}: no document. Give PDF, Word, HTML, Markdown or text" for file in strange]
        )
    found: dict[str, SourcePassage] = {}
    refused: dict[str, str] = {}
    with DocumentParser() as parser:
        for file in files:
            try:
                passages = [*passages_of(_blocks(parser, file), size)]
            except DocumentError as error:
                refused[file.name] = error.message
                continue
            for each in _long_enough(file.name, passages):
                found.setdefault(each.digest, each)
    if not found:
        reasons = "; ".join(f"{name}: {why}" for name, why in refused.items())
        raise InvalidInputError(
            f"no passage of {FEWEST_CHARACTERS} characters in {len(files)} files."
            f" {reasons or 'Give longer texts'}"
        )
    return SourcePassages([*found.values()], refused)


def _is_readable(file: Path) -> bool:
    return document_format_of(file.name) is not None or file.suffix.lower() == ".txt"


def _blocks(parser: DocumentParser, file: Path) -> Sequence[DocumentBlock]:
    document_format = document_format_of(file.name)
    if document_format is not None:
        return parser.blocks(file, document_format)
    paragraphs = file.read_text("utf-8", "replace").split("\n\n")
    return [DocumentBlock(text.strip()) for text in paragraphs if text.strip()]


def _long_enough(name: str, passages: Sequence[Passage]) -> Iterator[SourcePassage]:
    for text, page, section, offset in passages:
        if len(text) >= FEWEST_CHARACTERS:
            yield SourcePassage(text, name, page, section, offset)
