"""Training examples from token files that data-prep has written."""

from array import array
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from modelmill_jobs.child import ChildFailure
from modelmill_token_files.token_file import Int32s, TokenFile, TrainingOrder
from modelmill_token_files.tokenizer_digest import tokenizer_digest
from modelmill_token_files.tokens_plan import TokenFilesError, TokensPlan

from modelmill_trainer.training.packs import LazyExamples, TrainingExample
from modelmill_trainer.training.rows import LossSelection, not_pairs, rows_too_long


class TokenExamples(LazyExamples):
    """Examples of a memory-mapped token file, decoded on access."""

    def __init__(self, file: TokenFile, part: LossSelection) -> None:
        self._file = file
        self._part = part

    def __len__(self) -> int:
        return len(self._file)

    @property
    def longest(self) -> int:
        """Tokens of the longest row, from the index alone."""
        return int(_lengths(self._file, self._part).max(initial=0))

    @property
    def tokens(self) -> int:
        """Total tokens without rejected answers, from the index alone."""
        return int(self._file.lengths().sum())

    def example(self, place: int) -> TrainingExample:
        """See `LazyExamples`."""
        row = self._file[place]
        spans = zip(row.loss_from.tolist(), row.loss_to.tolist(), strict=True)
        rejected = None if row.rejected_ids is None else tuple(row.rejected_ids.tolist())
        return self._part.of(TrainingExample(tuple(row.ids.tolist()), tuple(spans), rejected))


class JoinedExamples(LazyExamples):
    """Examples of a split, and others behind them; those of a token file stay on disk."""

    def __init__(self, first: Sequence[TrainingExample], others: Sequence[TrainingExample]) -> None:
        self.parts = (first, others)

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def example(self, place: int) -> TrainingExample:
        """See `LazyExamples`."""
        first, others = self.parts
        return first[place] if place < len(first) else others[place - len(first)]


def tokens_for(base: Path, dataset: Path) -> TokensPlan | None:
    """The dataset's token plan, if it was made with the base model's tokenizer; else None.

    Raises:
        ChildFailure: the plan is malformed.
    """
    try:
        plan = TokensPlan.read(dataset)
    except TokenFilesError as error:
        raise _inconsistent(error) from error
    return plan if plan is not None and plan.tokenizer == tokenizer_digest(base) else None


def token_examples(
    dataset: Path, plan: TokensPlan, split: str, *, max_tokens: int, part: LossSelection
) -> TokenExamples:
    """Open the token file of a split.

    Raises:
        ChildFailure: the file contradicts its plan, or rows exceed `max_tokens` or lack a rejected
            answer; the message lists them.
    """
    try:
        file = TokenFile(dataset, split)
    except TokenFilesError as error:
        raise _inconsistent(error) from error
    counts = plan.splits.get(split)
    if len(file) != (counts.rows if counts else 0):
        raise _inconsistent(f"{split} has {len(file)} rows, and its plan says otherwise")
    if part.needs_pairs:
        alone = file.row_numbers()[file.rejected_lengths() == 0]
        if len(alone):
            raise not_pairs(alone.tolist(), split=split)
    if counts and max(counts.longest, plan.max_tokens if part.keeps_pairs else 0) > max_tokens:
        too_long = file.row_numbers()[_lengths(file, part) > max_tokens]
        if len(too_long):
            raise rows_too_long(too_long.tolist(), split=split, max_tokens=max_tokens)
    return TokenExamples(file, part)


def _lengths(file: TokenFile, part: LossSelection) -> Int32s:
    """Length of each row, with the longer answer if both are used."""
    lengths = file.lengths()
    return np.maximum(lengths, file.rejected_lengths()) if part.keeps_pairs else lengths


def longest_of(examples: Sequence[TrainingExample]) -> int:
    """Tokens of the longest example; does not decode rows of a token file."""
    if isinstance(examples, TokenExamples):
        return examples.longest
    if isinstance(examples, JoinedExamples):
        return max(map(longest_of, examples.parts))
    return max(example.longest for example in examples)


def tokens_in(examples: Sequence[TrainingExample]) -> int:
    """Total tokens without rejected answers; does not decode rows of a token file."""
    if isinstance(examples, TokenExamples):
        return examples.tokens
    if isinstance(examples, JoinedExamples):
        return sum(map(tokens_in, examples.parts))
    return sum(len(example.ids) for example in examples)


def own_rows(examples: Sequence[TrainingExample]) -> int:
    """Rows of the dataset, without what was joined behind them."""
    return len(examples.parts[0]) if isinstance(examples, JoinedExamples) else len(examples)


def read_order(dataset: Path, rows: int) -> tuple[Sequence[int], bool]:
    """Row order of the first epoch (empty if none), and whether later epochs repeat it.

    Raises:
        ChildFailure: it is not a permutation of `rows` rows.
    """
    try:
        order = TrainingOrder.read(dataset)
    except TokenFilesError as error:
        raise _inconsistent(error) from error
    if order is None:
        return (), False
    if len(order.rows) != rows:
        raise _inconsistent(f"there is an order of {len(order.rows)} rows for {rows}")
    return array("q", order.rows.tobytes()), order.repeats


def _inconsistent(what: object) -> ChildFailure:
    return ChildFailure(
        "DATASET_INCONSISTENT",
        f"the dataset's files are inconsistent: {what}",
        "Make the dataset again.",
    )
