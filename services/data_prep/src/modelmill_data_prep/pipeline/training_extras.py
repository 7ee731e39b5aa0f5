"""Optional worker steps: augmentation, tokenization and curriculum factors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from modelmill_tokenization.conversations import ConversationEncoder
from numpy.typing import NDArray

from modelmill_data_prep.domain.augmenting.row_makers import RowMaker
from modelmill_data_prep.domain.curriculum.row_order import RowMeasures
from modelmill_data_prep.domain.curriculum.text_units import FrequencySketch
from modelmill_data_prep.domain.duplicates.row_keys import Keys, row_keys
from modelmill_data_prep.domain.row_batch import DROPPED, one_batch, texts_without_system
from modelmill_data_prep.domain.row_decisions import SPLITS
from modelmill_data_prep.domain.tokens.encode_rows import encode_rows


@dataclass(frozen=True)
class UnitCounts:
    """Sparse unit counts of a block: non-zero cells of a sketch."""

    cells: NDArray[np.int64]
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, rows: pa.RecordBatch) -> "UnitCounts":
        """Count units in the rows' texts."""
        sketch = FrequencySketch()
        sketch.add(texts_without_system(rows))
        flat = sketch.counts.reshape(-1)
        cells = np.flatnonzero(flat)
        return cls(cells, flat[cells])

    def add_to(self, sketch: FrequencySketch) -> None:
        """Add to the corpus' sketch."""
        sketch.counts.reshape(-1)[self.cells] += self.counts


@dataclass(frozen=True)
class MadeRows:
    """Augmented rows of a block."""

    rows: pa.RecordBatch
    """Of `ROWS`."""
    groups: Keys
    """Group key of each row, for deduplication."""


class RowMakers:
    """Applies all augmentation methods of a plan that need no model.

    Args:
        makers: Methods with their shares of rows.
        seed: Seed of the dataset.
    """

    def __init__(self, makers: Sequence[tuple[RowMaker, float]], seed: int) -> None:
        self._makers = makers
        self._seed = seed

    def __call__(self, rows: pa.RecordBatch) -> MadeRows:
        """New rows, in order of methods."""
        made = [maker.make(rows, share, self._seed) for maker, share in self._makers]
        whole = one_batch(made)
        return MadeRows(whole, row_keys(whole, self._seed).group)


@dataclass(frozen=True)
class TokenizedRows:
    """Result of tokenization."""

    rows: pa.RecordBatch
    splits: NDArray[np.int8]
    tokens: Mapping[str, pa.RecordBatch]
    """Token rows by split, in the order of `rows`."""
    dropped: pa.RecordBatch
    """Rejected original rows, schema `DROPPED`; rejected augmented rows are omitted."""
    stays: NDArray[np.bool_]
    """Mask over input rows: whether each is in `rows`."""
    turns_not_learned: int


class RowTokenizer:
    """Tokenizes rows of all splits.

    Args:
        encoder: Encoder of the base model.
        max_tokens: Longer rows are rejected.
    """

    def __init__(self, encoder: ConversationEncoder, max_tokens: int) -> None:
        self._encoder = encoder
        self._max_tokens = max_tokens

    def __call__(self, rows: pa.RecordBatch, splits: NDArray[np.int8]) -> TokenizedRows:
        """Encode `rows` with their split numbers."""
        encoded = encode_rows(rows, self._encoder, self._max_tokens)
        left = splits[encoded.stays]
        as_given = rows.column("made_by").is_null().to_numpy(zero_copy_only=False)
        refused = as_given[~encoded.stays]
        tokens = {
            name: encoded.tokens.filter(pa.array(left == number))
            for number, name in enumerate(SPLITS)
        }
        dropped = encoded.dropped.filter(pa.array(refused, pa.bool_()))
        assert dropped.schema == DROPPED
        stays, not_learned = encoded.stays, encoded.turns_not_learned
        return TokenizedRows(encoded.rows, left, tokens, dropped, stays, not_learned)


@dataclass(frozen=True)
class TrainMeasures:
    """Difficulty factors of a block's train rows."""

    measures: RowMeasures
    keys: NDArray[np.int64]
    """Tie-breaking key: the line, inverted for augmented rows, so that they are not neighbours of
    their original row."""
    losses: NDArray[np.float64] | None
    """Model losses; None if not used."""

    @classmethod
    def of(
        cls,
        rows: pa.RecordBatch,
        in_train: NDArray[np.bool_],
        sketch: FrequencySketch,
        losses: NDArray[np.float64] | None,
    ) -> "TrainMeasures":
        """Measure the train rows against corpus frequencies."""
        train = rows.filter(pa.array(in_train))
        lines = train.column("line").to_numpy()
        made = train.column("made_by").is_valid().to_numpy(zero_copy_only=False)
        measures = RowMeasures.of(texts_without_system(train), sketch)
        found = None if losses is None else losses[in_train]
        return cls(measures, np.where(made, ~lines, lines), found)
