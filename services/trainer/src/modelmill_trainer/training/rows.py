"""Reads and tokenizes the splits of a dataset."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from modelmill_jobs.child import ChildFailure
from modelmill_service_kit.errors import InvalidInputError
from modelmill_tokenization.chat_tokenizer import ChatTokenizer
from modelmill_tokenization.conversations import (
    Conversation,
    ConversationEncoder,
    EncodedConversation,
)
from modelmill_tokenization.written_turns import functions_of, turns_of

from modelmill_trainer.training.loss_selection import LossSelection, named_rows, not_pairs
from modelmill_trainer.training.packs import TrainingExample

Row = dict[str, Any]


def read_split(folder: Path, split: str) -> list[Row]:
    """Rows of a split, in file order."""
    with (folder / f"{split}.jsonl").open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def encode_rows(
    rows: Sequence[Row],
    tokenizer: ChatTokenizer,
    *,
    split: str,
    max_tokens: int,
    part: LossSelection | None = None,
) -> list[TrainingExample]:
    """Tokenize rows without truncation, because a cut answer teaches the model to stop early.

    Args:
        part: Selects the tokens with loss; all assistant messages by default.

    Raises:
        ChildFailure: rows exceed `max_tokens`, cannot be rendered or lack a rejected answer;
            the message lists them.
    """
    part = part or LossSelection()
    encoded = ConversationEncoder(tokenizer)([_conversation(row, split) for row in rows])
    examples = [part.of(_example(one, row, split)) for row, one in zip(rows, encoded, strict=True)]
    numbers = [int(row["row"]) for row in rows]
    alone = [number for number, one in zip(numbers, examples, strict=True) if not one.rejected]
    if part.needs_pairs and alone:
        raise not_pairs(alone, split=split)
    too_long = [
        number for number, one in zip(numbers, examples, strict=True) if one.longest > max_tokens
    ]
    if too_long:
        raise rows_too_long(too_long, split=split, max_tokens=max_tokens)
    return examples


def _conversation(row: Row, split: str) -> Conversation:
    try:
        turns, tools = turns_of(row["messages"]), functions_of(row.get("tools", ()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _not_renderable(
            row, split, f"its messages are not in OpenAI's format: {error!r}"
        ) from error
    return Conversation(turns, tools, row.get("rejected"))


def _example(
    encoded: EncodedConversation | InvalidInputError, row: Row, split: str
) -> TrainingExample:
    if isinstance(encoded, InvalidInputError):
        raise _not_renderable(row, split, encoded.message) from encoded
    rejected = None if encoded.rejected_ids is None else tuple(encoded.rejected_ids)
    return TrainingExample(tuple(encoded.ids), tuple(encoded.spans), rejected)


def _not_renderable(row: Row, split: str, why: str) -> ChildFailure:
    return ChildFailure(
        "ROW_NOT_RENDERABLE",
        f"{split} row {row['row']}: {why}",
        "Each row needs a prompt and ends with the assistant's answer, in roles that the "
        "model's chat template knows.",
    )


def rows_too_long(rows: Sequence[int], *, split: str, max_tokens: int) -> ChildFailure:
    """Error for rows with more than `max_tokens`."""
    return ChildFailure(
        "ROWS_TOO_LONG",
        f"{len(rows)} rows of {split} have more than {max_tokens} tokens: {named_rows(rows)}",
        "Shorten or split them, or raise max_tokens_per_row up to the model's context.",
    )
