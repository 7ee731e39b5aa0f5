"""Broken and hostile documents, and what the reader makes of each.

    python -m tests.bench.documents_broken FOLDER COUNT RESULT

A fifth of them is made to be hostile; the others are sound documents of the folder, broken in up to
eight places.
"""

import io
import json
import resource
import sys
import time
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from modelmill_documents.document_format import document_format_of
from modelmill_documents.errors import DocumentError
from modelmill_documents.parse_document import DocumentParser

from tests.fuzz.mutations import mutated

Change = Callable[[str, bytes], bytes]
"""Takes name and content of a part of an archive."""
SEED = 17
WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


def broken_documents(sound: Sequence[Path], count: int) -> Iterator[tuple[str, bytes]]:
    """Names and contents."""
    random = Random(SEED)
    hostile = list(hostile_documents(next(path for path in sound if path.suffix == ".docx")))
    for number in range(count):
        if number % 5 == 0:
            yield hostile[number // 5 % len(hostile)]
            continue
        path = random.choice(sound)
        other = random.choice(sound).read_bytes()
        yield path.name, _broken(random, path, other)


def _broken(random: Random, path: Path, other: bytes) -> bytes:
    content = path.read_bytes()
    if path.suffix == ".docx" and random.random() < 0.5:
        return _repacked(content, lambda _, part: mutated(random, part, other))
    return mutated(random, content, other)


def _repacked(content: bytes, change: Change) -> bytes:
    packed = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as before,
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as after,
    ):
        for name in before.namelist():
            after.writestr(name, change(name, before.read(name)))
    return packed.getvalue()


def hostile_documents(sound_docx: Path) -> Iterator[tuple[str, bytes]]:
    """Each is made to exhaust or to mislead a reader."""
    word = sound_docx.read_bytes()
    for parts in (b" " * 90_000_000, _laughs(), _xml_nested(200_000), b"<a/>", b""):
        yield "a.docx", _repacked(word, _with_document(parts))
    yield "a.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 4096
    yield "a.docx", word[: len(word) // 2]
    for count in (1_000, 1_000_000):
        yield "a.html", b"<div>" * count + b"text"
        yield "a.html", b"<table><tr><td>" * count + b"text"
    yield "a.html", b"<p " + b"a=1 " * 2_000_000 + b">text"
    yield "a.html", b"<script>" + b"x" * 50_000_000
    yield "a.html", b"&amp;" * 10_000_000
    yield "a.html", b"\0" * 1_000_000
    for text in (b"> " * 500_000, b"[" * 100_000, b"*a " * 300_000, b"`" * 200_000 + b"a"):
        yield "a.md", text
    yield "a.md", b"- " * 20_000 + b"text"
    yield "a.md", b"|a" * 200_000 + b"\n" + b"|-" * 200_000 + b"\n" + b"|b" * 200_000
    yield "a.md", b"[a](" * 50_000
    yield "a.md", b"\xff" * 3_000_000
    for objects in (_PAGES_IN_A_RING, _ENDLESS_COUNT, _ENCRYPTED):
        yield "a.pdf", _pdf(objects)
    yield "a.pdf", _pdf([*_ONE_PAGE, _stream(b"BT /F1 9 Tf (a) Tj ET " * 20_000_000)])
    yield "a.pdf", _pdf([*_ONE_PAGE, _stream(b"q " * 30_000_000)])
    yield "a.pdf", b"%PDF-1.7\n" + b"1 0 obj\n" * 500_000
    yield "a.pdf", b"%PDF-1.7\n" + b"[" * 3_000_000
    yield "a.pdf", b""
    yield "a.docx", b""


def _with_document(text: bytes) -> Change:
    return lambda name, part: text if name == "word/document.xml" else part


def _laughs() -> bytes:
    entities = "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(12))
    text = f'<!DOCTYPE a [<!ENTITY a "ha">{entities}]><w:document xmlns:w="{WORD}">&m;</w:document>'
    return text.encode()


def _xml_nested(depth: int) -> bytes:
    begin = f'<w:document xmlns:w="{WORD}"><w:body>'.encode()
    return begin + b"<w:tbl><w:tr><w:tc>" * depth


_ONE_PAGE = [
    b"<< /Type /Catalog /Pages 2 0 R >>",
    b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>",
    b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents 5 0 R"
    b" /Resources << /Font << /F1 4 0 R >> >> >>",
    b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
]
_PAGES_IN_A_RING = [
    b"<< /Type /Catalog /Pages 2 0 R >>",
    b"<< /Type /Pages /Count 9 /Kids [3 0 R] >>",
    b"<< /Type /Pages /Count 9 /Kids [2 0 R 3 0 R] /Parent 2 0 R >>",
]
_ENDLESS_COUNT = [
    b"<< /Type /Catalog /Pages 2 0 R >>",
    b"<< /Type /Pages /Count 2147483647 /Kids [] >>",
]
_ENCRYPTED = [
    *_ONE_PAGE,
    b"<< /Filter /Standard /V 1 /R 2 /O <" + b"41" * 32 + b"> /U <" + b"41" * 32 + b"> /P -4 >>",
]


def _stream(content: bytes) -> bytes:
    packed = zlib.compress(content, 9)
    head = b"<< /Filter /FlateDecode /Length %d >>\nstream\n" % len(packed)
    return head + packed + b"\nendstream"


def _pdf(objects: Sequence[bytes]) -> bytes:
    content, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, start=1):
        places.append(len(content))
        content += b"%d 0 obj\n" % number + body + b"\nendobj\n"
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    encrypt = b" /Encrypt 5 0 R /ID [<42> <42>]" if objects is _ENCRYPTED else b""
    size = len(objects) + 1
    return (
        content
        + b"xref\n0 %d\n0000000000 65535 f \n" % size
        + table
        + b"trailer\n<< /Size %d /Root 1 0 R%s >>\nstartxref\n%d\n%%%%EOF\n"
        % (size, encrypt, len(content))
    )


def main() -> None:
    """Read all, and write what each ended in."""
    sound = sorted(Path(sys.argv[1]).iterdir())
    reasons: Counter[str] = Counter()
    longest = 0.0
    with TemporaryDirectory(prefix="broken-") as place, DocumentParser() as parser:
        for name, content in broken_documents(sound, int(sys.argv[2])):
            path = Path(place) / name
            path.write_bytes(content)
            document_format = document_format_of(name)
            assert document_format is not None
            started = time.perf_counter()
            try:
                parser.blocks(path, document_format)
                reasons["read"] += 1
            except DocumentError as error:
                reasons[error.reason] += 1
            longest = max(longest, time.perf_counter() - started)
            path.unlink()
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    result = {"ended": sum(reasons.values()), "reasons": dict(reasons.most_common())}
    Path(sys.argv[3]).write_text(
        json.dumps(result | {"mib": peak, "seconds": longest}), encoding="utf-8"
    )


if __name__ == "__main__":
    main()
