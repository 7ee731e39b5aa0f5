"""Reads the calibration set of a build: training rows of its dataset, and general text."""

import json
from importlib.resources import files
from pathlib import Path

from modelmill_service_kit.errors import InvalidInputError
from modelmill_tokenization.bounded.here import BoundedTokenizer
from modelmill_tokenization.conversations import Conversation

from modelmill_optimizer_builder.domain.calibration import CalibrationSet, choose_rows, mixed

GENERAL_TEXT = "general_text.txt"


def read_calibration(dataset: Path | None, tokenizer: BoundedTokenizer) -> CalibrationSet:
    """Samples of the dataset's train split and of general text; without a dataset of the latter.

    Raises:
        InvalidInputError: The dataset has no training rows that the model's template renders.
        LimitError: The tokenizer or chat template exceeded a time or memory limit.
    """
    text = files(__package__).joinpath(GENERAL_TEXT).read_text(encoding="utf-8")
    rows = [] if dataset is None else _training_ids(dataset, tokenizer)
    return mixed(rows, tokenizer.encode(text))


def _training_ids(dataset: Path, tokenizer: BoundedTokenizer) -> list[list[int]]:
    """Token ids of some training rows; of no others, so that test rows stay unseen."""
    path = dataset / "train.jsonl"
    if not path.is_file():
        raise _no_rows("it has no train split")
    with path.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in choose_rows(lines)]
    conversations = [
        Conversation(row["messages"], row.get("tools") or ()) for row in rows if "messages" in row
    ]
    encoded = tokenizer.encode_conversations(conversations)
    ids = [one.ids for one in encoded if not isinstance(one, InvalidInputError)]
    if not ids:
        refusals = (one.message for one in encoded if isinstance(one, InvalidInputError))
        raise _no_rows(next(refusals, "its train split is empty"))
    return ids


def _no_rows(why: str) -> InvalidInputError:
    return InvalidInputError(
        f"the dataset has no training rows to calibrate with: {why}. Name another dataset, or none:"
        " then general text is read"
    )
