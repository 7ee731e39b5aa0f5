"""Reads rows of a dataset as token ids, with the place of the answer in each."""

import json
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from modelmill_service_kit.errors import InvalidInputError
from modelmill_tokenization.bounded.here import BoundedTokenizer
from modelmill_tokenization.conversations import Conversation, EncodedConversation

from modelmill_optimizer_builder.domain.calibration import AnsweredPrompt, choose_rows

MAX_TOKENS = 512
"""Of a row; longer ones are left out."""
MAX_ROWS = 256
OPEN_PROMPTS, OPEN_ROWS = 16, 64
"""Prompts that are answered as they will be, and rows that are looked through for them."""
LEAST_ANSWER_TOKENS = 16
"""Of a shorter answer there is nothing to be saved."""
LEAST_PROMPT_TOKENS, MOST_PROMPT_TOKENS = 8, 2048
"""A document has one token before what is learned."""


def read_test_answers(
    dataset: Path, tokenizer: BoundedTokenizer, max_rows: int
) -> list[AnsweredPrompt]:
    """The first test rows, at most `max_rows` where it is not 0.

    Raises:
        LimitError: The tokenizer or chat template exceeded a time or memory limit.
    """
    count = min(max_rows, MAX_ROWS) if max_rows else MAX_ROWS
    path = dataset / "test.jsonl"
    if not path.is_file():
        return []
    with path.open(encoding="utf-8") as lines:
        return answered(encode_rows([*islice(lines, count)], tokenizer))


def read_open_prompts(dataset: Path | None, tokenizer: BoundedTokenizer) -> list[list[int]]:
    """Prompts of the first test rows with long answers, as token ids without the answers.

    Raises:
        LimitError: The tokenizer or chat template exceeded a time or memory limit.
    """
    if dataset is None or not (dataset / "test.jsonl").is_file():
        return []
    with (dataset / "test.jsonl").open(encoding="utf-8") as lines:
        encoded = encode_rows([*islice(lines, OPEN_ROWS)], tokenizer)
    spans = [
        (one.ids, *one.spans[-1])
        for one in encoded
        if not isinstance(one, InvalidInputError) and one.spans
    ]
    found = [
        ids[:start]
        for ids, start, end in spans
        if LEAST_PROMPT_TOKENS <= start <= MOST_PROMPT_TOKENS and end - start >= LEAST_ANSWER_TOKENS
    ]
    return found[:OPEN_PROMPTS]


def draw_lines(dataset: Path, split: str, count: int) -> list[str] | None:
    """Up to `count` lines of a split, always the same; None if the dataset has no such split."""
    path = dataset / f"{split}.jsonl"
    if not path.is_file():
        return None
    with path.open(encoding="utf-8") as lines:
        return choose_rows(lines, count)


def encode_rows(
    lines: Sequence[str], tokenizer: BoundedTokenizer
) -> list[EncodedConversation | InvalidInputError]:
    """Rows that are conversations, as the model's template renders them."""
    rows = [json.loads(line) for line in lines]
    return tokenizer.encode_conversations(
        [Conversation(row["messages"], row.get("tools") or ()) for row in rows if "messages" in row]
    )


def answered(encoded: Sequence[EncodedConversation | InvalidInputError]) -> list[AnsweredPrompt]:
    """Of those that have an answer, are rendered and are not too long."""
    return [
        AnsweredPrompt(one.ids, *one.spans[-1])
        for one in encoded
        if not isinstance(one, InvalidInputError)
        and one.spans
        and 0 < one.spans[-1][0] < one.spans[-1][1] <= MAX_TOKENS
    ]
