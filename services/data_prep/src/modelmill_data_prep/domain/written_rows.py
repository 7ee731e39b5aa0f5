"""Serialises rows as JSON lines with content hashes."""

import hashlib
from dataclasses import dataclass
from typing import Any

import msgspec
import pyarrow as pa

from modelmill_data_prep.domain.lineage.merkle import leaf_hash
from modelmill_data_prep.domain.row_batch import as_list, lists_of

_ENCODE = msgspec.json.Encoder().encode
_DECODE = msgspec.json.Decoder().decode
_DIGEST_BYTES = 32


@dataclass(frozen=True)
class WrittenRows:
    """Serialised rows."""

    lines: list[bytes]
    """JSON lines without line feeds."""
    contents: list[bytes]
    """sha256 of each row's content: messages, tools and rejected answer."""

    def leaves(self) -> list[bytes]:
        """Merkle tree leaf of each row."""
        return [leaf_hash(line) for line in self.lines]


def write_rows(rows: pa.RecordBatch) -> WrittenRows:
    """Serialise rows: content first, then provenance.

    Content is `messages` in OpenAI's format, `tools` and `rejected`. Provenance is `row` (source
    line), `source` (sha256 of the source bytes), `changes` (transforms), `made_by` (augmentation)
    and `document` (place of a passage).
    """
    lines, contents = [], []
    tools, rejected = as_list(rows.column("tools")), as_list(rows.column("rejected"))
    says = zip(_messages(rows), tools, rejected, strict=True)
    origins = zip(
        as_list(rows.column("line")),
        _in_hex(rows.column("source")),
        lists_of(as_list(rows.column("changes").flatten()), rows.column("changes")),
        as_list(rows.column("made_by")),
        as_list(rows.column("document")),
        strict=True,
    )
    for said, origin in zip(says, origins, strict=True):
        written = _ENCODE(_content(*said))
        contents.append(hashlib.sha256(written).digest())
        lines.append(written[:-1] + b"," + _ENCODE(_origin(*origin))[1:])
    return WrittenRows(lines, contents)


def _messages(rows: pa.RecordBatch) -> list[list[dict[str, Any]]]:
    """Messages of each row in OpenAI's format."""
    columns = [rows.column(name) for name in ("roles", "contents", "extras")]
    turns = [
        {"role": role, "content": content, **(_DECODE(extra) if extra else {})}
        for role, content, extra in zip(*(as_list(one.flatten()) for one in columns), strict=True)
    ]
    return lists_of(turns, columns[0])


def _in_hex(digests: pa.Array) -> list[str]:
    """Non-null sha256 digests in hexadecimal."""
    data = digests.buffers()[1]
    start, size = digests.offset * _DIGEST_BYTES, len(digests) * _DIGEST_BYTES
    whole = data[start : start + size].to_pybytes().hex() if size else ""
    digits = 2 * _DIGEST_BYTES
    return [whole[place : place + digits] for place in range(0, len(whole), digits)]


def _content(
    messages: list[dict[str, Any]], tools: str | None, rejected: str | None
) -> dict[str, Any]:
    says: dict[str, Any] = {"messages": messages}
    if tools is not None:
        says["tools"] = msgspec.Raw(tools.encode())
    if rejected is not None:
        says["rejected"] = rejected
    return says


def _origin(
    line: int, source: str, changes: list[str], made_by: str | None, document: str | None
) -> dict[str, Any]:
    origin: dict[str, Any] = {"row": line, "source": source, "changes": changes}
    if made_by is not None:
        origin["made_by"] = made_by
    if document is not None:
        origin["document"] = msgspec.Raw(document.encode())
    return origin
