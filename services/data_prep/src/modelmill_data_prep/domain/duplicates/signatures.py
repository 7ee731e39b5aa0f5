"""MinHash signatures: the share of equal elements estimates the Jaccard similarity of shingles.

Shingles are character n-grams. A shingle that starts with an ideograph, kana or Hangul syllable has
`WIDE_SHINGLE` characters, any other `SHINGLE`. So mixed-script texts need no decision per text,
which a single character could change.
"""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from modelmill_data_prep.domain.duplicates.folded_text import FoldedTexts, fold
from modelmill_data_prep.domain.mixing import mixed
from modelmill_data_prep.domain.row_batch import text_array_without_system

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
