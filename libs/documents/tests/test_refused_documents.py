"""Documents that are refused: each by the name of what is wrong, in bounded time and memory."""

import os
import time
from pathlib import Path

import pytest
from documents_support.written import (
    BODY,
    docx_of,
    docx_with,
    encrypted_pdf,
    pdf_of,
)
from modelmill_documents.document_blocks import ParseLimits
from modelmill_documents.document_format import document_format_of
from modelmill_documents.errors import (
    DamagedDocumentError,
    DocumentError,
    DocumentTooLargeError,
    DocumentTooSlowError,
    EncryptedDocumentError,
    NoTextError,
    ScriptedPageError,
)
from modelmill_documents.parse_document import DocumentParser
from modelmill_documents.readers.docx import OLE

pytestmark = [pytest.mark.tier("test"), pytest.mark.real_starts]

WHOLE_PDF = pdf_of([[(BODY, "Text.")]])
LAUGHS = (
    b'<!DOCTYPE a [<!ENTITY a "ha">'
    + b"".join(b'<!ENTITY %c "%s">' % (98 + n, (b"&%c;" % (97 + n)) * 10) for n in range(12))
    + b"]><a>&m;</a>"
)
CASES: list[tuple[str, str, bytes, type[DocumentError]]] = [
    ("an encrypted PDF", "a.pdf", encrypted_pdf(), EncryptedDocumentError),
    ("an encrypted or old Word file", "a.docx", OLE + b"\0" * 600, EncryptedDocumentError),
    ("a text called a PDF", "a.pdf", b"Dear all,", DamagedDocumentError),
    ("a PDF that breaks off", "a.pdf", WHOLE_PDF[:90], DamagedDocumentError),
    ("a PDF without text", "a.pdf", pdf_of([[]]), NoTextError),
    ("a text called a Word file", "a.docx", b"Dear all,", DamagedDocumentError),
    ("an archive that is no Word file", "a.docx", docx_of(("text", 0))[:400], DamagedDocumentError),
    ("entities within entities", "a.docx", docx_with("word/document.xml", LAUGHS), DocumentError),
    ("a Word file without text", "a.docx", docx_of(), NoTextError),
    ("a page of scripts", "a.html", b"<body><script>go()</script></body>", ScriptedPageError),
    ("a page without text", "a.html", b"<body><img></body>", NoTextError),
    ("zeros called a page", "a.html", b"\0" * 5000, DamagedDocumentError),
    ("zeros called Markdown", "a.md", b"\0" * 5000, DamagedDocumentError),
    ("an empty file", "a.md", b"", NoTextError),
]


@pytest.mark.parametrize(
    ("name", "content", "error"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_what_cannot_be_read_is_refused_by_name_with_a_remedy(
    tmp_path: Path, name: str, content: bytes, error: type[DocumentError]
) -> None:
    assert_refused(tmp_path / name, content, error)


def test_a_zip_bomb_is_refused_by_name_with_a_remedy(tmp_path: Path) -> None:
    bomb = docx_with("word/document.xml", b"<a>" + b" " * 80_000_000 + b"</a>")
    assert_refused(tmp_path / "a.docx", bomb, DocumentTooLargeError)


def assert_refused(file: Path, content: bytes, error: type[DocumentError]) -> None:
    file.write_bytes(content)
    document_format = document_format_of(file.name)
    assert document_format is not None
    with DocumentParser() as parser, pytest.raises(error) as caught:
        parser.blocks(file, document_format)
    cause, _, remedy = caught.value.message.partition(". ")
    assert cause
    assert remedy


def test_a_document_is_read_after_one_that_ended_the_process(tmp_path: Path) -> None:
    (tmp_path / "bad.md").write_bytes(b"> " * 2_000_000)
    (tmp_path / "good.md").write_bytes(b"Good.")
    with DocumentParser(ParseLimits(cpu_seconds=1)) as parser:
        with pytest.raises(DocumentError):
            parser.blocks(tmp_path / "bad.md", "markdown")
        assert [block.text for block in parser.blocks(tmp_path / "good.md", "markdown")] == [
            "Good."
        ]


def test_memory_is_bounded_and_what_needs_more_is_refused(tmp_path: Path) -> None:
    (tmp_path / "large.html").write_bytes(b"<p>word</p>" * 3_000_000)
    with (
        DocumentParser(ParseLimits(memory_bytes=256 << 20)) as parser,
        pytest.raises(DocumentTooLargeError, match="256 MiB"),
    ):
        parser.blocks(tmp_path / "large.html", "html")


def test_time_is_bounded_on_the_clock_too(tmp_path: Path) -> None:
    """A pipe is a file that never ends."""
    os.mkfifo(tmp_path / "pipe.md")
    started = time.monotonic()
    with DocumentParser(ParseLimits(wall_seconds=0.2)) as parser:
        (tmp_path / "first.md").write_bytes(b"First.")
        parser.blocks(tmp_path / "first.md", "markdown")
        with pytest.raises(DocumentTooSlowError):
            parser.blocks(tmp_path / "pipe.md", "markdown")
    assert time.monotonic() - started < 60


def test_the_size_of_file_and_text_is_bounded(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_bytes(b"word " * 1000)
    for limits in (ParseLimits(file_bytes=4000), ParseLimits(text_bytes=4000)):
        with DocumentParser(limits) as parser, pytest.raises(DocumentTooLargeError, match="4000"):
            parser.blocks(tmp_path / "a.md", "markdown")
