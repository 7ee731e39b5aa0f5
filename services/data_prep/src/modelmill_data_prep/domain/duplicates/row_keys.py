"""Row keys: 16-byte hashes of the whole content, and of the first user message."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest, xxh3_128_digest

from modelmill_data_prep.domain.duplicates.folded_text import FoldedTexts, fold

Keys = NDArray[np.uint64]
"""(n, 2) upper and lower halves of 128-bit digests."""

_DIGEST_BYTES = 16
_TURN_BYTES = 8 + 2 * _DIGEST_BYTES


@dataclass(frozen=True)
class RowKeys:
    """Keys of a batch of rows."""

    exact: Keys
    """Equal for rows with equal messages, tools and rejected answer."""

    group: Keys
    """Equal for rows with equal first user messages; also orders groups for splitting.

    A row without a user message is grouped by its whole content.
    """


def row_keys(rows: pa.RecordBatch, seed: int) -> RowKeys:
    """Keys of a batch of `ROWS`, from seed and content alone.

    Texts are compared by `text_form.comparison_key`; roles, tool calls and tools exactly.


    Args:
        rows: Of `ROWS`.
        seed: 64-bit seed of the split, which determines the order of groups.
    """
    contents = rows.column("contents")
    offsets = np.asarray(contents.offsets, dtype=np.int64)
    offsets = offsets - offsets[0]
    roles = rows.column("roles").flatten().dictionary_encode()
    folded = fold(contents.flatten())
    turns = _turn_records(roles, folded, rows.column("extras").flatten())
    whole = _row_digests(turns, offsets, rows)
    return RowKeys(_as_keys(whole), _groups(turns, offsets, roles, seed))


def _text_digests(folded: FoldedTexts) -> list[bytes]:
    view = folded.code_points.data
    return [xxh3_128_digest(view[start:end]) for start, end in pairwise(folded.offsets.tolist())]


def _turn_records(
    roles: pa.DictionaryArray, folded: FoldedTexts, extras: pa.Array
) -> NDArray[np.uint8]:
    """`_TURN_BYTES` per message: hashes of role, text and extras."""
    records = np.zeros((len(roles), _TURN_BYTES), np.uint8)
    names = np.array(
        [xxh3_64_intdigest(name) for name in roles.dictionary.cast(pa.binary()).to_pylist()],
        dtype="<u8",
    )
    if not len(roles):
        return records
    records[:, :8] = names[np.asarray(roles.indices)].view(np.uint8).reshape(-1, 8)
    records[:, 8:24] = _as_bytes(_text_digests(folded))
    if extras.null_count < len(extras):
        filled = np.asarray(pc.is_valid(extras).to_numpy(zero_copy_only=False))
        digests = [
            xxh3_128_digest(extra) for extra in extras.drop_null().cast(pa.binary()).to_pylist()
        ]
        records[filled, 24:] = _as_bytes(digests)
    return records


def _row_digests(
    turns: NDArray[np.uint8], offsets: NDArray[np.int64], rows: pa.RecordBatch
) -> list[bytes]:
    view = turns.reshape(-1).data
    bounds = pairwise((offsets * _TURN_BYTES).tolist())
    tools, rejected = rows.column("tools"), rows.column("rejected")
    if tools.null_count == rejected.null_count == rows.num_rows:
        return [xxh3_128_digest(view[start:end]) for start, end in bounds]
    rejected_digests = _text_digests(fold(rejected))
    tails = [
        (b"" if tool is None else xxh3_128_digest(tool)).ljust(_DIGEST_BYTES, b"\0")
        + (b"" if worse is None else digest)
        for tool, worse, digest in zip(
            tools.cast(pa.binary()).to_pylist(), rejected.to_pylist(), rejected_digests, strict=True
        )
    ]
    # Rows with neither must hash as in a batch where no row has either.
    empty = bytes(_DIGEST_BYTES)
    return [
        xxh3_128_digest(view[start:end] if tail == empty else bytes(view[start:end]) + tail)
        for (start, end), tail in zip(bounds, tails, strict=True)
    ]


def _groups(
    turns: NDArray[np.uint8], offsets: NDArray[np.int64], roles: pa.DictionaryArray, seed: int
) -> Keys:
    """Seeded digest of each row's first user message."""
    users = np.flatnonzero(np.asarray(pc.equal(roles, "user").to_numpy(zero_copy_only=False)))
    view = turns.reshape(-1).data
    first = np.append(users, len(turns))[np.searchsorted(users, offsets[:-1])]
    asks = first < offsets[1:]
    said: Iterable[memoryview] = (
        view[place * _TURN_BYTES + 8 : place * _TURN_BYTES + 24]
        if has_user
        else view[start * _TURN_BYTES : end * _TURN_BYTES]
        for place, has_user, (start, end) in zip(
            first.tolist(), asks.tolist(), pairwise(offsets.tolist()), strict=True
        )
    )
    return _as_keys([xxh3_128_digest(part, seed=seed) for part in said])


def _as_bytes(digests: list[bytes]) -> NDArray[np.uint8]:
    return np.frombuffer(b"".join(digests), np.uint8).reshape(-1, _DIGEST_BYTES)


def _as_keys(digests: list[bytes]) -> Keys:
    return np.frombuffer(b"".join(digests), ">u8").reshape(-1, 2).astype(np.uint64)
