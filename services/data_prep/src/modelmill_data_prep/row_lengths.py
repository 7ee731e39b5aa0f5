"""Lengths of a dataset's rows as quantiles: exact of few rows, of a random sample of many."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from modelmill_data_prep.domain.lineage.row_provenance import KeptRow
from modelmill_data_prep.domain.row_decisions import SPLITS
from modelmill_data_prep.domain.tally import measure_lengths
from modelmill_data_prep.shown_rows import read_row

MEASURED_ROWS = 20_000
"""A quantile of a sample of these is within 0.7 percent of the rows (95 % interval)."""
BATCH_BYTES = 4 * 1024 * 1024
PERCENTS = (5, 25, 50, 75, 95)

_decode = msgspec.json.Decoder().decode


def measure_rows(folder: Path, places: NDArray[Any]) -> dict[str, Any]:
    """Quantiles of tokens and characters, as fields of `DatasetSide`.

    Args:
        folder: The dataset's folder.
        places: Where its rows are.
    """
    tokens: list[int] = []
    characters: list[int] = []
    for texts in _batches(folder, _sampled(places)):
        tokens += [length.tokens for length in measure_lengths(texts)]
        characters += map(len, texts)
    return {
        "rows_measured": len(tokens),
        "tokens": _quantiles(tokens),
        "characters": _quantiles(characters),
    }


def _sampled(places: NDArray[Any]) -> NDArray[Any]:
    if len(places) <= MEASURED_ROWS:
        return places
    # Every nth row would be one kind of row where kinds alternate.
    chosen = np.random.default_rng(0).choice(
        len(places), MEASURED_ROWS, replace=False, shuffle=False
    )
    return places[np.sort(chosen)]


def _batches(folder: Path, places: NDArray[Any]) -> Iterator[list[str]]:
    """Texts of rows, some bytes at a time."""
    texts: list[str] = []
    size = 0
    for split, offset, length in places.tolist():
        texts.append(_text(read_row(folder, KeptRow(SPLITS[split], offset, length))))
        size += length
        if size > BATCH_BYTES:
            yield texts
            texts, size = [], 0
    if texts:
        yield texts


def _text(row_json: str) -> str:
    """A row without its system message, as the report measures it."""
    turns = _decode(row_json)["messages"]
    return "\n".join(turn["content"] or "" for turn in turns if turn["role"] != "system")


def _quantiles(lengths: list[int]) -> dict[str, int]:
    if not lengths:
        return {}
    found = np.percentile(lengths, PERCENTS, method="inverted_cdf").tolist()
    return {f"p{percent}": int(value) for percent, value in zip(PERCENTS, found, strict=True)}
