"""What a worker does beside writing rows: rows of rows, token ids, measures for the order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from modelmill_tokenization.conversations import ConversationEncoder
from numpy.typing import NDArray

from modelmill_data_prep.domain.augmenting.row_maker import RowMaker
from modelmill_data_prep.domain.curriculum.frequency_sketch import FrequencySketch
from modelmill_data_prep.domain.curriculum.row_measures import RowMeasures
from modelmill_data_prep.domain.duplicates.row_keys import Keys, row_keys
from modelmill_data_prep.domain.row_batch import DROPPED, one_batch, spoken_texts
from modelmill_data_prep.domain.tokens.encode_rows import encode_rows
from modelmill_data_prep.domain.verdicts import SPLITS


@dataclass(frozen=True)
class UnitCounts:
    """How often units of text occur in a block: the cells of a sketch that are not 0."""

    cells: NDArray[np.int64]
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, rows: pa.RecordBatch) -> "UnitCounts":
        """Count the units of what is said in the rows."""
        sketch = FrequencySketch()
        sketch.add(spoken_texts(rows))
        flat = sketch.counts.reshape(-1)
        cells = np.flatnonzero(flat)
        return cls(cells, flat[cells])

    def add_to(self, sketch: FrequencySketch) -> None:
        """Add them to the corpus."""
        sketch.counts.reshape(-1)[self.cells] += self.counts


@dataclass(frozen=True)
class MadeRows:
    """Rows made of a block's rows of train."""

    rows: pa.RecordBatch
    """Of `ROWS`."""
    groups: Keys
    """Of each the group, to see whether it says what another row says."""


class RowMakers:
    """The ways to make rows that a plan names.

    Args:
        makers: Each with the share of rows that it makes.
        seed: Of the dataset.
    """

    def __init__(self, makers: Sequence[tuple[RowMaker, float]], seed: int) -> None:
        self._makers = makers
        self._seed = seed

    def __call__(self, rows: pa.RecordBatch) -> MadeRows:
        """New rows, those of the first way first."""
        made = [maker.make(rows, share, self._seed) for maker, share in self._makers]
        whole = one_batch(made)
        return MadeRows(whole, row_keys(whole, self._seed).group)


@dataclass(frozen=True)
class TokenizedRows:
    """Rows that have token ids, and those that cannot have."""

    rows: pa.RecordBatch
    splits: NDArray[np.int8]
    tokens: Mapping[str, pa.RecordBatch]
    """By split, in the order of `rows`."""
    dropped: pa.RecordBatch
    """Of `DROPPED`: of the rows as given alone; a made row that cannot be one is just left out."""
    stays: NDArray[np.bool_]
    """Of each row that was given whether it is among `rows`."""
    turns_not_learned: int


class RowTokenizer:
    """Encodes the rows of every split.

    Args:
        encoder: Of the base model.
        max_tokens: A longer row is refused.
    """

    def __init__(self, encoder: ConversationEncoder, max_tokens: int) -> None:
        self._encoder = encoder
        self._max_tokens = max_tokens

    def __call__(self, rows: pa.RecordBatch, splits: NDArray[np.int8]) -> TokenizedRows:
        """Encode `rows`, whose places in `SPLITS` are `splits`."""
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
    """Of a block's rows of train what their difficulty is computed of."""

    measures: RowMeasures
    keys: NDArray[np.int64]
    """Of each row its line; of a made row, which has the line of its source row, another number, so
    that the two are not neighbours in the order."""
    losses: NDArray[np.float64] | None
    """Of a model, where they count."""

    @classmethod
    def of(
        cls,
        rows: pa.RecordBatch,
        in_train: NDArray[np.bool_],
        sketch: FrequencySketch,
        losses: NDArray[np.float64] | None,
    ) -> "TrainMeasures":
        """Measure those of `rows` that are in train, by what occurs in the corpus."""
        train = rows.filter(pa.array(in_train))
        lines = train.column("line").to_numpy()
        made = train.column("made_by").is_valid().to_numpy(zero_copy_only=False)
        measures = RowMeasures.of(spoken_texts(train), sketch)
        found = None if losses is None else losses[in_train]
        return cls(measures, np.where(made, ~lines, lines), found)
