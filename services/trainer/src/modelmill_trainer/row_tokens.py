"""Tokens of a dataset's rows, counted in a process with limits: the tokenizer is foreign code."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random
from statistics import mean
from typing import Any

from modelmill_service_kit.errors import InvalidInputError
from modelmill_token_files.tokenizer_digest import tokenizer_digest
from modelmill_token_files.tokens_plan import TokenFilesError, TokensPlan
from modelmill_tokenization.chat_tokenizer import ChatTokenizer
from modelmill_tokenization.conversations import Conversation, ConversationEncoder
from modelmill_tokenization.tool_turns import functions_of, turns_of

SAMPLED_ROWS, SAMPLED_BYTES, SEED = 400, 4_000_000, 7
READ_WHOLE_BYTES = 16_000_000
"""Of a longer file some places are read."""


def mean_row_tokens(given: Mapping[str, Any]) -> float:
    """Mean tokens of a row of the train split.

    Args:
        given: Folders `tokenizer` and `dataset`, and `with_rejected`: whether rejected answers are
            read, too.

    Raises:
        InvalidInputError: The tokenizer reads none of the rows.
    """
    tokenizer, dataset = Path(given["tokenizer"]), Path(given["dataset"])
    planned = None if given["with_rejected"] else _planned(tokenizer, dataset)
    if planned is not None:
        return planned
    encoded = ConversationEncoder(ChatTokenizer.load(tokenizer))(
        _conversations(dataset / "train.jsonl")
    )
    counts = [
        len(each.ids) + (len(each.rejected_ids or ()) if given["with_rejected"] else 0)
        for each in encoded
        if not isinstance(each, InvalidInputError)
    ]
    if not counts:
        raise InvalidInputError("the base can read none of the rows")
    return mean(counts)


def _planned(tokenizer: Path, dataset: Path) -> float | None:
    """By the plan of the dataset's token files, where those are of the same tokenizer."""
    try:
        plan = TokensPlan.read(dataset)
    except TokenFilesError:
        return None
    train = plan.splits.get("train") if plan is not None else None
    if plan is None or train is None or not train.rows:
        return None
    return train.tokens / train.rows if plan.tokenizer == tokenizer_digest(tokenizer) else None


def _conversations(file: Path) -> Iterator[Conversation]:
    """Those of a sample that are in OpenAI's format."""
    for row in _sampled(file):
        try:
            turns, tools = turns_of(row["messages"]), functions_of(row.get("tools", ()))
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
        yield Conversation(turns, tools, row.get("rejected"))


def _sampled(file: Path) -> Iterator[Any]:
    """Rows of a file of JSON lines, from all over it: of a short one every row."""
    taken = 0
    for line in _lines_of(file):
        if line.strip():
            yield json.loads(line)
        taken += len(line)
        if taken > SAMPLED_BYTES:
            return


def _lines_of(file: Path) -> Iterator[bytes]:
    size, chance = file.stat().st_size, Random(SEED)
    if size <= READ_WHOLE_BYTES:
        lines = file.read_bytes().splitlines()
        yield from chance.sample(lines, min(SAMPLED_ROWS, len(lines)))
        return
    with file.open("rb") as content:
        for at in chance.sample(range(size), SAMPLED_ROWS):
            content.seek(at)
            # What begins behind a place is as long as others; what lies across it is longer.
            content.readline()
            yield content.readline()
