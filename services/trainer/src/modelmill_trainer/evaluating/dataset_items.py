"""Evaluation items from dataset rows: the last message of a row is the reference answer."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from modelmill_evaluation.score_names import (
    MEASURES,
    OF_CHOICES,
    OF_CLASSES,
    OF_LIKELIHOODS,
    OF_TEXTS,
)

from modelmill_trainer.domain.evaluation_plan import DATASET_SUITE, EvaluationPlan
from modelmill_trainer.evaluating.items import Item, Prompt, Suite, count_rows, drawn, read_rows

MAX_CHOICES = 256
"""Maximum continuations of one Score request."""
HEAD_CHARACTERS = 64
"""Of a plain document these first characters (at most a quarter) are the prompt; the rest is
scored."""
SPARE_TOKENS = 16
"""Of an answer beyond the bytes of the longest reference: how it begins, and its end."""
NO_ANSWER = "its last message is not an assistant message with text"


def dataset_suite(folder: Path, choices: Sequence[str], plan: EvaluationPlan) -> Suite:
    """The evaluation items of a dataset's split.

    Args:
        folder: The dataset's folder.
        choices: Classification labels; empty for free-text answers.

    Raises:
        ChildFailure: a line is not a JSON object.
    """
    file = folder / f"{plan.split}.jsonl"
    count = count_rows([file])
    labels = tuple(choices) if len(choices) <= MAX_CHOICES else ()
    measures = plan.measures or (MEASURES if labels else (*OF_LIKELIHOODS, *OF_TEXTS))
    if not {*OF_CHOICES} & {*measures}:
        labels = ()  # no metric compares the labels
    items, skipped = [], 0
    for place, row in read_rows([file], drawn(count, plan.max_rows, plan.seed)):
        item = _item(str(row.get("row", place + 1)), row, labels)
        if item is None:
            skipped += 1
        else:
            items.append(item)
    return Suite(
        name=DATASET_SUITE,
        items=_with_unique_keys(items),
        measures=measures,
        shown=OF_CLASSES if labels and not plan.measures else (),
        max_new_tokens=min(plan.max_new_tokens, _most_tokens(items)),
        rows=count,
        skipped=skipped,
        first_skipped=NO_ANSWER if skipped else "",
    )


def _most_tokens(items: Sequence[Item]) -> int:
    """More tokens than any reference has: a token is a byte at least.

    A model that goes on for ever is stopped there, which costs it nothing that a measure counts.
    """
    longest = max((len(item.reference.encode()) for item in items), default=0)
    return longest + SPARE_TOKENS


def _item(key: str, row: Mapping[str, Any], choices: tuple[str, ...]) -> Item | None:
    turns = row.get("messages")
    if not isinstance(turns, list) or not turns:
        return None
    *before, last = turns
    answer = last.get("content")
    if last.get("role") != "assistant" or not isinstance(answer, str) or not answer:
        return None
    columns = {name: value for name, value in row.items() if name not in ("messages", "tools")}
    if not before:
        head = max(1, min(HEAD_CHARACTERS, len(answer) // 4))
        if len(answer) <= head:
            return None
        rest = answer[head:]
        return Item(
            key=key,
            prompt=Prompt(text=answer[:head]),
            reference=rest,
            continuations=(rest,),
            is_generative=False,
            columns=columns,
        )
    prompt = Prompt(turns=tuple(before), tools=tuple(row.get("tools") or ()))
    known = answer in choices
    return Item(
        key=key,
        prompt=prompt,
        reference=answer,
        continuations=choices if known else (answer,),
        choices=choices if known else (),
        right=choices.index(answer) if known else None,
        columns=columns,
    )


def _with_unique_keys(items: Sequence[Item]) -> tuple[Item, ...]:
    """Rows derived from one source row share its number, and get a suffix."""
    seen: dict[str, int] = {}
    renamed = []
    for item in items:
        seen[item.key] = times = seen.get(item.key, 0) + 1
        key = item.key if times == 1 else f"{item.key}.{times}"
        renamed.append(Item(**{**_fields(item), "key": key}))
    return tuple(renamed)


def _fields(item: Item) -> dict[str, Any]:
    return {name: getattr(item, name) for name in Item.__dataclass_fields__}
