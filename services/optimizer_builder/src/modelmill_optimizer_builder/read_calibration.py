"""Reads what a calibrated form is made and judged with: rows of its dataset, and general text.

Never test rows: a version's figures are of these.
"""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from modelmill_service_kit.errors import InvalidInputError
from modelmill_tokenization.bounded.here import BoundedTokenizer

from modelmill_optimizer_builder.domain.calibration import (
    MAX_ROWS,
    CalibrationSet,
    JudgingSet,
    mixed,
)
from modelmill_optimizer_builder.read_answers import answered, draw_lines, encode_rows
from modelmill_optimizer_builder.read_general_text import Texts

GENERAL_TEXT = "general_text.txt"
TRAIN, VALID = "train", "valid"
MAX_JUDGING_ROWS = 128
FEWEST_JUDGING_ROWS = 16
"""Fewer rows of the valid split tell no methods apart: then training rows judge that calibration
has not read."""


def read_calibration(
    dataset: Path | None, tokenizer: BoundedTokenizer, judging_texts: Texts = ()
) -> CalibrationSet:
    """Samples of the dataset's train split and of general text, and what methods are judged by.

    Without a dataset both are of general text alone.

    Args:
        judging_texts: General text that is in no sample.

    Raises:
        InvalidInputError: The dataset has no training rows that the model's template renders.
        LimitError: The tokenizer or chat template exceeded a time or memory limit.
    """
    text = files(__package__).joinpath(GENERAL_TEXT).read_text(encoding="utf-8")
    general = tokenizer.encode(text)
    if dataset is None:
        return mixed([], general, JudgingSet(texts=judging_texts))
    drawn = draw_lines(dataset, TRAIN, MAX_ROWS + MAX_JUDGING_ROWS)
    if drawn is None:
        raise _no_rows("it has no train split")
    encoded = encode_rows(drawn[:MAX_ROWS], tokenizer)
    rows = [one.ids for one in encoded if not isinstance(one, InvalidInputError)]
    if not rows:
        refusals = (one.message for one in encoded if isinstance(one, InvalidInputError))
        raise _no_rows(next(refusals, "its train split is empty"))
    return mixed(rows, general, _judging(dataset, drawn[MAX_ROWS:], tokenizer, judging_texts))


def _judging(
    dataset: Path, unread: Sequence[str], tokenizer: BoundedTokenizer, texts: Texts
) -> JudgingSet:
    """Rows of the valid split, or else training rows that no sample is of."""
    valid = draw_lines(dataset, VALID, MAX_JUDGING_ROWS) or []
    for split, lines in ((VALID, valid), (TRAIN, unread)):
        rows = answered(encode_rows(lines, tokenizer))
        if len(rows) >= FEWEST_JUDGING_ROWS:
            return JudgingSet(rows, split, texts)
    return JudgingSet(texts=texts)


def _no_rows(why: str) -> InvalidInputError:
    return InvalidInputError(
        f"the dataset has no training rows to calibrate with: {why}. Name another dataset, or none:"
        " then general text is read"
    )
