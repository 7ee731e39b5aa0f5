"""Rows as the lines of a split's file, with the hashes that tell them apart."""

import hashlib
from dataclasses import dataclass
from typing import Any

import msgspec
import pyarrow as pa

from data_prep.domain.lineage.merkle import leaf_hash

_ENCODE = msgspec.json.Encoder().encode
_DECODE = msgspec.json.Decoder().decode


@dataclass(frozen=True)
class WrittenRows:
    """The lines of some rows, in their order."""

    lines: list[bytes]
    """Without their line feeds."""
    contents: list[bytes]
    """Of each row sha256 of what it says: turns, tools and rejected answer."""

    def leaves(self) -> list[bytes]:
        """Of each row its leaf in the Merkle tree."""
        return [leaf_hash(line) for line in self.lines]


def write_rows(rows: pa.RecordBatch) -> WrittenRows:
    """JSON of each row: what it says, then where it comes from and what was done to it.

    `messages` (as OpenAI writes them), `tools` and `rejected` where there are any; `row` is the
    line of the source file, `source` the sha256 of that row's bytes, `changes` the transforms that
    changed it, `made_by` what made it from its source row.
    """
    lines, contents = [], []
    columns = [rows.column(name).to_pylist() for name in rows.schema.names]
    for values in zip(*columns, strict=True):
        row = dict(zip(rows.schema.names, values, strict=True))
        says = _ENCODE(_says(row))
        contents.append(hashlib.sha256(says).digest())
        lines.append(says[:-1] + b"," + _ENCODE(_origin(row))[1:])
    return WrittenRows(lines, contents)


def _says(row: dict[str, Any]) -> dict[str, Any]:
    turns = zip(row["roles"], row["contents"], row["extras"], strict=True)
    says: dict[str, Any] = {
        "messages": [
            {"role": role, "content": content, **(_DECODE(extra) if extra else {})}
            for role, content, extra in turns
        ]
    }
    if row["tools"] is not None:
        says["tools"] = msgspec.Raw(row["tools"].encode())
    if row["rejected"] is not None:
        says["rejected"] = row["rejected"]
    return says


def _origin(row: dict[str, Any]) -> dict[str, Any]:
    origin = {"row": row["line"], "source": row["source"].hex(), "changes": row["changes"]}
    if row["made_by"] is not None:
        origin["made_by"] = row["made_by"]
    return origin
