"""Selects the dataset rows that become golden conversations."""

import json
import random
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from modelmill_evaluation.parity.conversations import Conversation
from modelmill_tokenization.chat_tokenizer import ChatTokenizer

from modelmill_trainer.training.packs import TrainingExample

ROWS = 3
CANDIDATES = 1000
"""Rows from the start of the split that are sampled from, so that large splits are not read
fully."""
MAX_PROMPT_TOKENS = 512
"""Longer prompts would dominate the time for all goldens."""


def golden_rows(
    dataset: Path,
    splits: Mapping[str, Sequence[TrainingExample]],
    tokenizer: ChatTokenizer,
    *,
    seed: int,
) -> list[Conversation]:
    """Sample rows of the test split (else valid, else train), with their training token ids.

    Only conversations that end with an assistant message and have no tool calls, which the fixed
    goldens cover.
    """
    split = next((name for name in ("test", "valid", "train") if splits[name]), None)
    if split is None:
        return []
    with (dataset / f"{split}.jsonl").open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in islice(lines, CANDIDATES) if line.strip()]
    places = list(range(min(len(rows), len(splits[split]))))
    random.Random(f"{seed}/goldens").shuffle(places)
    found: list[Conversation] = []
    for place in places:
        if not _is_plain(rows[place]):
            continue
        messages = tuple(rows[place]["messages"][:-1])
        ids = tokenizer.encode_prompt(messages)
        if len(ids) > MAX_PROMPT_TOKENS:
            continue
        # Prompt and answer are encoded separately and joined, so a row starts with its prompt's
        # ids.
        example: TrainingExample = splits[split][place]
        trained = tuple(example.ids)[: len(ids)]
        name = f"{split} row {rows[place].get('row', place + 1)}"
        found.append(Conversation(name, messages, trained_ids=trained))
        if len(found) == ROWS:
            break
    return found


def _is_plain(row: Mapping[str, Any]) -> bool:
    messages: Sequence[Any] = row.get("messages") or ()
    return (
        len(messages) > 1
        and messages[-1]["role"] == "assistant"
        and "tools" not in row
        and not any(turn.get("tool_calls") or turn.get("tool_call_id") for turn in messages)
    )
