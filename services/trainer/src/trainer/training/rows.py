"""The splits of a dataset, as token ids."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jobs.child import ChildFailure
from service_kit.errors import InvalidInputError
from tokenization.chat_tokenizer import ChatTokenizer

from trainer.training.packs import Example

LISTED_ROWS = 20
"""Row numbers named in an error; the rest is counted."""

Row = dict[str, Any]


def read_split(folder: Path, split: str) -> list[Row]:
    """Rows of train, valid or test, in the order of the file."""
    with (folder / f"{split}.jsonl").open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def encode_rows(
    rows: Sequence[Row], tokenizer: ChatTokenizer, *, split: str, max_tokens: int
) -> list[Example]:
    """Token ids of each row; none is cut, because a cut answer teaches to stop early.

    Raises:
        ChildFailure: rows are longer than `max_tokens`, or cannot be rendered; they are named.
    """
    examples = []
    too_long: list[int] = []
    for row in rows:
        try:
            encoded = tokenizer.encode_example(row["messages"])
        except InvalidInputError as error:
            raise ChildFailure(
                "ROW_NOT_RENDERABLE",
                f"{split} row {row['row']}: {error.message}",
                "Each row needs a prompt and ends with the assistant's answer, in roles that the "
                "model's chat template knows.",
            ) from error
        if len(encoded.ids) > max_tokens:
            too_long.append(row["row"])
        examples.append(Example.answered(encoded.ids, encoded.answer_start))
    if too_long:
        raise rows_too_long(too_long, split=split, max_tokens=max_tokens)
    return examples


def rows_too_long(rows: Sequence[int], *, split: str, max_tokens: int) -> ChildFailure:
    """What is said of rows that have more than `max_tokens`."""
    named = ", ".join(map(str, rows[:LISTED_ROWS]))
    more = f" and {len(rows) - LISTED_ROWS} more" if len(rows) > LISTED_ROWS else ""
    return ChildFailure(
        "ROWS_TOO_LONG",
        f"{len(rows)} rows of {split} have more than {max_tokens} tokens: {named}{more}",
        "Shorten or split them, or raise max_tokens_per_row up to the model's context.",
    )
