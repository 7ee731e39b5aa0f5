"""Reads and tokenizes the splits of a dataset, and selects the tokens that the loss covers."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
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
from modelmill_tokenization.tool_turns import functions_of, turns_of

from modelmill_trainer.domain.hyper_parameters import HyperParameters
from modelmill_trainer.domain.methods import ANSWERS, DPO, PREFERENCES, TEXT
from modelmill_trainer.training.packs import TrainingExample

LISTED_ROWS = 20
"""Maximum row numbers listed in an error message."""
Row = dict[str, Any]


@dataclass(frozen=True)
class LossSelection:
    """Converts a dataset row to the spans and answers that an objective uses."""

    objective: str = ANSWERS
    last_turn_only: bool = False

    @classmethod
    def by(cls, choices: HyperParameters) -> "LossSelection":
        """From a run's hyper-parameters."""
        return cls(choices.objective, choices.last_turn_only)

    @property
    def keeps_pairs(self) -> bool:
        """Whether rejected answers are used."""
        return self.objective in PREFERENCES

    @property
    def needs_pairs(self) -> bool:
        """Whether every row must have a rejected answer."""
        return self.objective == DPO

    def of(self, example: TrainingExample) -> TrainingExample:
        """The row with the spans of the loss; a rejected answer stays only if it is used."""
        if self.keeps_pairs:
            return replace(example, spans=example.spans[-1:])
        if self.objective == TEXT:
            return TrainingExample(example.ids, ((1, len(example.ids)),))
        spans = example.spans[-1:] if self.last_turn_only else example.spans
        return TrainingExample(example.ids, spans)


def not_pairs(rows: Sequence[int], *, split: str) -> ChildFailure:
    """Error for rows without the required rejected answer."""
    return ChildFailure(
        "NOT_PREFERENCES",
        f"{len(rows)} rows of {split} have no rejected answer: {named_rows(rows)}",
        'Map the file with layout "preference", or use objective kto.',
    )


def named_rows(rows: Sequence[int]) -> str:
    """The first row numbers, and how many more there are."""
    named = ", ".join(map(str, rows[:LISTED_ROWS]))
    return f"{named} and {len(rows) - LISTED_ROWS} more" if len(rows) > LISTED_ROWS else named


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
