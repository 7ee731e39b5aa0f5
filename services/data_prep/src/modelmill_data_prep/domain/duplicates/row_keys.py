"""Comparison keys of rows: 16-byte hashes, and MinHash signatures.

The hashes are of the whole content and of the first user message. In two signatures the share of
equal elements estimates the Jaccard similarity of shingles, which are character n-grams. A shingle
that starts with an ideograph, kana or Hangul syllable has `WIDE_SHINGLE` characters, any other
`SHINGLE`. So mixed-script texts need no decision per text, which a single character could change.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest, xxh3_128_digest

from modelmill_data_prep.domain.duplicates.folded_text import FoldedTexts, fold
from modelmill_data_prep.domain.mixing import mixed
from modelmill_data_prep.domain.row_batch import text_array_without_system

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


PERMUTATIONS = 128
"""Signature length; the standard error of an estimate is at most 0.04."""

SHINGLE = 5
WIDE_SHINGLE = 3

Signatures = NDArray[np.uint32]
"""(n, PERMUTATIONS)."""

_FIRST_WIDE = 0x2E80
_BASE = np.uint64(0x9E3779B97F4A7C15)
_SAME_MASK = 8
"""Permutations that share an XOR mask and differ in their factor."""

_PIECE = 1 << 16
"""Code points per chunk, so that intermediate results stay in the cache."""


def row_signatures(rows: pa.RecordBatch) -> Signatures:
    """The signatures of a batch of `ROWS`: from `text_array_without_system`."""
    return signatures(text_array_without_system(rows))


def signatures(texts: pa.Array) -> Signatures:
    """Signatures of an array of strings, compared by `text_form.comparison_key`.

    A text shorter than a shingle is one shingle.
    """
    folded = fold(texts)
    hashes, offsets = shingle_hashes(folded)
    made = np.empty((len(offsets) - 1, PERMUTATIONS), np.uint32)
    start = 0
    while start < len(made):
        last = np.searchsorted(offsets, offsets[start] + _PIECE, side="right") - 1
        end = max(int(last), start + 1)
        some = hashes[offsets[start] : offsets[end]]
        made[start:end] = _smallest(some, offsets[start:end] - offsets[start])
        start = end
    return made


def _smallest(hashes: NDArray[np.uint64], starts: NDArray[np.int64]) -> Signatures:
    """Minimum hash of each text under each 32-bit permutation."""
    tokens = (hashes >> np.uint64(32)).astype(np.uint32)
    permuted = np.empty_like(tokens)
    smallest = np.empty((PERMUTATIONS, len(starts)), np.uint32)
    numbers = mixed(np.arange(1, PERMUTATIONS + 1, dtype=np.uint64))
    # An odd factor makes the permutation bijective.
    factors = numbers.astype(np.uint32) | np.uint32(1)
    for place in range(PERMUTATIONS):
        if place % _SAME_MASK == 0:
            mask_entities = tokens ^ np.uint32(numbers[place] >> np.uint64(32))
        np.multiply(mask_entities, factors[place], out=permuted)
        np.minimum.reduceat(permuted, starts, out=smallest[place])
    return smallest.T


def shingle_hashes(folded: FoldedTexts) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Shingle hashes of all texts with offsets; repeats are included."""
    points, offsets = folded.code_points, folded.offsets
    hashes = np.empty(len(points), np.uint64)
    for start in range(0, len(points), _PIECE):
        end = min(start + _PIECE, len(points))
        hashes[start:end] = _window_hashes(points[start : end + SHINGLE - 1])[: end - start]
    room = np.repeat(offsets[1:], np.diff(offsets)) - np.arange(len(points))
    whole = np.flatnonzero(room >= np.where(points >= _FIRST_WIDE, WIDE_SHINGLE, SHINGLE))
    ends = np.searchsorted(whole, offsets, side="left")
    short = np.flatnonzero(np.diff(ends) == 0)
    hashes = hashes[whole]
    if len(short):
        hashes = np.insert(hashes, ends[short], _whole_hashes(folded, short))
        ends = ends + np.searchsorted(short, np.arange(len(ends)), side="left")
    return hashes, ends


def _window_hashes(points: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """Hash of the shingle at each position, padded with 0."""
    count = len(points)
    padded = np.zeros(count + SHINGLE - 1, np.uint64)
    # Plus one, so that U+0000 differs from the padding.
    padded[:count] = points
    padded[:count] += np.uint64(1)
    narrow = padded[:count].copy()
    wide = narrow
    for step in range(1, SHINGLE):
        narrow = narrow * _BASE + padded[step : step + count]
        if step == WIDE_SHINGLE - 1:
            wide = narrow
    return mixed(np.where(points >= _FIRST_WIDE, wide, narrow))


def _whole_hashes(folded: FoldedTexts, places: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Hashes of texts that are shorter than a shingle."""
    found = np.zeros(len(places), np.uint64)
    starts = folded.offsets[places]
    sizes = folded.offsets[places + 1] - starts
    for step in range(int(sizes.max(initial=0))):
        there = sizes > step
        points = folded.code_points[starts[there] + step].astype(np.uint64)
        found[there] = found[there] * _BASE + points + np.uint64(1)
    return mixed(found)
