"""Child process of `DocumentParser`: reads one document after the other, with limits.

It hears `{"path", "format", ...}` as JSON lines on stdin. On the pipe whose descriptor is its
argument it says blocks, `[text, page, level]`, and behind the last one `{"done": true}` or
`{"reason", "message"}`. Documents are parsed here, so that one that brings a parser down or takes
all memory fails alone.
"""

import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from modelmill_documents.document_blocks import DocumentBlock
from modelmill_documents.document_format import DocumentFormat
from modelmill_documents.errors import DamagedDocumentError, DocumentError, DocumentTooLargeError

MEMORY = "reading the document takes more memory than {} MiB. Divide it"
MOST_DESCRIPTORS = 64


def main() -> None:
    """Serve until the parent closes the pipe."""
    # A terminal's Ctrl-C is the parent's to answer.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    memory_bytes = int(sys.argv[2])
    _limit(resource.RLIMIT_AS, memory_bytes)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_NOFILE, MOST_DESCRIPTORS)
    with os.fdopen(int(sys.argv[1]), "wb") as answers:
        for line in sys.stdin.buffer:
            request = json.loads(line)
            _limit_cpu(request["cpu_seconds"])
            try:
                _answer(request, answers)
            except DocumentError as error:
                _say(answers, {"reason": error.reason, "message": error.message})
            except MemoryError:
                said = MEMORY.format(memory_bytes >> 20)
                _say(answers, {"reason": DocumentTooLargeError.reason, "message": said})
                return
            except Exception as error:
                # A parser's own error; a fresh process reads the next document.
                said = f"its reader failed ({type(error).__name__}). Save the document again"
                _say(answers, {"reason": DamagedDocumentError.reason, "message": said})
                return


def _limit(kind: int, most: int) -> None:
    _, hard = resource.getrlimit(kind)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (most, most))


def _limit_cpu(seconds: int) -> None:
    """The limit counts from the start of the process, and this document has its own time."""
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + 1 + seconds, hard))


def _answer(request: dict[str, Any], answers: BinaryIO) -> None:
    size = 0
    for block in _reader_of(request["format"])(Path(request["path"])):
        text = block.text.encode("utf-8", "ignore").decode()
        size += len(text.encode())
        if size > request["text_bytes"]:
            raise DocumentTooLargeError(
                f"the document has more than {request['text_bytes']} bytes of text. Divide it"
            )
        _say(answers, [text, block.page, block.level])
    _say(answers, {"done": True})


def _reader_of(document_format: DocumentFormat) -> Callable[[Path], Iterator[DocumentBlock]]:
    """Each format's library is loaded with its first document."""
    if document_format == "pdf":
        from modelmill_documents.readers.pdf import read_pdf

        return read_pdf
    if document_format == "docx":
        from modelmill_documents.readers.docx import read_docx

        return read_docx
    if document_format == "html":
        from modelmill_documents.readers.html import read_html

        return read_html
    from modelmill_documents.readers.markdown import read_markdown

    return read_markdown


def _say(answers: BinaryIO, message: Any) -> None:
    answers.write(json.dumps(message).encode() + b"\n")
    if isinstance(message, dict):
        answers.flush()


if __name__ == "__main__":
    main()
