"""Vectorised `text_form.comparison_key` for a batch, as one array of code points.

Most characters fold independently, by a table. Texts with characters that interact with their
neighbours (combining marks, Hangul jamo) are folded by `comparison_key` itself.
"""

import unicodedata
from dataclasses import dataclass
from functools import cache
from itertools import chain, pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from modelmill_data_prep.domain.text_form import comparison_key

_TABLE_SIZE = 0x20000
"""Size of the table: BMP and SMP."""

_FIXED = (
    (0x3400, 0x4DC0),
    (0x4E00, 0xA000),
    (0xAC00, 0xD7A4),
    (0xD800, 0xF900),
    (0x17000, 0x18D00),
)
"""Ranges that fold to themselves: ideographs, Hangul, private use and Tangut."""

_SPACE = 32


@dataclass(frozen=True)
class FoldedTexts:
    """Concatenated comparison keys."""

    code_points: NDArray[np.uint32]
    offsets: NDArray[np.int64]
    """Start of each text, and the end of the last."""


@dataclass(frozen=True)
class _FoldTable:
    """Fold mapping per code point."""

    folded: NDArray[np.uint32]
    """First code point of the result."""

    lengths: NDArray[np.uint8]
    """Length of the result; 0 if it depends on neighbours."""

    several: dict[int, str]
    """Results longer than one code point."""


def fold(texts: pa.Array) -> FoldedTexts:
    """Comparison keys of an array of strings; null counts as empty."""
    points, offsets = _decode(texts)
    table = _fold_table()
    in_table = points < _TABLE_SIZE
    if not in_table.all():
        lengths = np.zeros(len(points), np.uint8)
        lengths[in_table] = table.lengths[points[in_table]]
        folded = np.zeros(len(points), np.uint32)
        folded[in_table] = table.folded[points[in_table]]
    else:
        lengths, folded = table.lengths[points], table.folded[points]
    if not (lengths == 1).all():
        if not lengths.all():
            return _fold_with_exceptions(texts, offsets, lengths)
        folded, offsets = _expand(points, folded, lengths, offsets, table)
    return _collapse_spaces(folded, offsets)


def _decode(texts: pa.Array) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Decode Arrow strings to code points and offsets."""
    large = (texts.fill_null("") if texts.null_count else texts).cast(pa.large_string())
    _, offsets_buffer, bytes_buffer = large.buffers()
    count = len(large)
    if not count or bytes_buffer is None:
        return np.zeros(0, np.uint32), np.zeros(count + 1, np.int64)
    bounds = np.frombuffer(offsets_buffer, np.int64)[large.offset : large.offset + count + 1]
    encoded = bytes_buffer[bounds[0] : bounds[-1]].to_pybytes()
    points = np.frombuffer(encoded.decode().encode("utf-32-le"), np.uint32)
    offsets = np.zeros(count + 1, np.int64)
    np.cumsum(pc.utf8_length(large), out=offsets[1:])
    return points, offsets


def _fold_with_exceptions(
    texts: pa.Array, offsets: NDArray[np.int64], lengths: NDArray[np.uint8]
) -> FoldedTexts:
    """As `fold`, for a batch in which some texts need `comparison_key`."""
    odd = np.zeros(len(texts), bool)
    odd[np.searchsorted(offsets, np.flatnonzero(lengths == 0), side="right") - 1] = True
    keys = [comparison_key(text) for text in texts.filter(pa.array(odd)).to_pylist()]
    # The others are folded with empty strings in place of the exceptions.
    others = fold(pc.if_else(pa.array(odd), "", texts))
    sizes = np.diff(others.offsets)
    sizes[odd] = [len(key) for key in keys]
    new_offsets = np.zeros(len(texts) + 1, np.int64)
    np.cumsum(sizes, out=new_offsets[1:])
    from_keys = np.repeat(odd, sizes)
    points = np.empty(new_offsets[-1], np.uint32)
    points[from_keys] = np.frombuffer("".join(keys).encode("utf-32-le"), np.uint32)
    points[~from_keys] = others.code_points
    return FoldedTexts(points, new_offsets)


def _expand(
    points: NDArray[np.uint32],
    folded: NDArray[np.uint32],
    lengths: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    table: _FoldTable,
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Expand characters that fold to several code points."""
    wide = np.repeat(folded, lengths)
    grown = np.flatnonzero(lengths > 1)
    added = np.zeros(len(grown) + 1, np.int64)
    np.cumsum(lengths[grown] - 1, out=added[1:])
    begins = grown + added[:-1]
    for point in np.unique(points[grown]).tolist():
        places = begins[points[grown] == point]
        for step, character in enumerate(table.several[point]):
            wide[places + step] = ord(character)
    return wide, offsets + added[np.searchsorted(grown, offsets)]


def _collapse_spaces(points: NDArray[np.uint32], offsets: NDArray[np.int64]) -> FoldedTexts:
    """Collapse runs of spaces, and strip each text."""
    spaces = points == _SPACE
    places = np.flatnonzero(spaces)
    if not len(places):
        return FoldedTexts(points, offsets)
    # A space stays if a non-space follows, and its run is not at the start of a text.
    filled = offsets[:-1][np.diff(offsets) > 0]
    at_start = np.zeros(len(points) + 1, bool)
    at_start[filled] = True
    at_start[-1] = True
    follows = np.append(spaces[1:], True)
    drop = places[follows[places] | at_start[places + 1] | at_start[places]]
    if not len(drop):
        return FoldedTexts(points, offsets)
    points, offsets = _without(points, offsets, drop)
    # The last space of a longer run at the start of a text is left over.
    leading = offsets[:-1][np.diff(offsets) > 0]
    leading = leading[points[leading] == _SPACE]
    return FoldedTexts(*_without(points, offsets, leading))


def _without(
    points: NDArray[np.uint32], offsets: NDArray[np.int64], places: NDArray[np.int64]
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Delete code points at sorted positions."""
    if not len(places):
        return points, offsets
    return np.delete(points, places), offsets - np.searchsorted(places, offsets, side="left")


@cache
def _fold_table() -> _FoldTable:
    folded = np.arange(_TABLE_SIZE, dtype=np.uint32)
    lengths = np.ones(_TABLE_SIZE, np.uint8)
    several: dict[int, str] = {}
    joining = _joining_characters()
    fixed = chain.from_iterable(_FIXED)
    for start, end in pairwise((0, *fixed, _TABLE_SIZE)):
        if (start, end) in _FIXED:
            continue
        for character in map(chr, range(start, end)):
            if character not in joining and _is_itself(character):
                continue
            point, result = ord(character), _folded_alone(character, joining)
            lengths[point] = len(result)
            if result:
                folded[point] = ord(result[0])
            if len(result) > 1:
                several[point] = result
    return _FoldTable(folded, lengths, several)


def _is_itself(character: str) -> bool:
    """Quick check whether a character folds to itself."""
    return not (
        unicodedata.decomposition(character)
        or unicodedata.combining(character)
        or character.isspace()
        or character.casefold() != character
    )


def _folded_alone(character: str, joining: frozenset[str]) -> str:
    """Context-independent folding; empty if it depends on neighbours."""
    text = character
    for step in (_compatible, str.casefold, _compatible):
        text = step(text)
        for one in text:
            if one in joining or unicodedata.combining(one):
                return ""
    return "".join(" " if one.isspace() else one for one in text)


def _compatible(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


def _joining_characters() -> frozenset[str]:
    """Characters that can compose with the preceding one."""
    jamo = map(chr, (*range(0x1161, 0x1176), *range(0x11A8, 0x11C3)))
    seconds = [
        chr(int(parts[1], 16))
        for point in range(_TABLE_SIZE)
        if len(parts := unicodedata.decomposition(chr(point)).split()) == 2
        and not parts[0].startswith("<")
    ]
    return frozenset((*jamo, *seconds))
