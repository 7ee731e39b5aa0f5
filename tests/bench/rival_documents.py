"""Text of a folder's documents by a rival, in an environment of its own.

    python rival_documents.py pypdf|markitdown FOLDER RESULT

The result is JSON: text by file name, with null for what the rival does not read, and seconds. It
imports nothing of the clone.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

Read = Callable[[Path], str]


def reader_of(rival: str) -> Read:
    """How the rival's documentation says that text is had."""
    if rival == "pypdf":
        from pypdf import PdfReader

        return lambda path: "\n".join(page.extract_text() for page in PdfReader(path).pages)
    from markitdown import MarkItDown

    converter = MarkItDown(enable_plugins=False)
    return lambda path: converter.convert(str(path)).text_content


def main() -> None:
    """Read every document of the folder that the rival is for."""
    rival, folder, result = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    read = reader_of(rival)
    texts: dict[str, str | None] = {}
    started = time.perf_counter()
    for path in sorted(folder.iterdir()):
        if rival == "pypdf" and path.suffix != ".pdf":
            continue
        try:
            texts[path.name] = read(path)
        except Exception:
            texts[path.name] = None
    seconds = time.perf_counter() - started
    result.write_text(json.dumps({"texts": texts, "seconds": seconds}), encoding="utf-8")


if __name__ == "__main__":
    main()
