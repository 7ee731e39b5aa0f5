"""Rows of a dataset as questions: the last turn of each is the right answer."""

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
from modelmill_trainer.evaluating.items import Item, Prompt, Suite
from modelmill_trainer.evaluating.row_files import count_rows, drawn, read_rows

MAX_CHOICES = 256
"""That inference scores at a time."""
HEAD_CHARACTERS = 64
"""So much of a document is given, and the rest scored; of a shorter one a quarter."""
NO_ANSWER = "its last turn is no answer with text"


def dataset_suite(folder: Path, choices: Sequence[str], plan: EvaluationPlan) -> Suite:
    """The questions of a dataset's split.

    Args:
        folder: Of the dataset.
        choices: Answers that its rows choose among; none where there are no such.

    Raises:
        ChildFailure: a row is no JSON.
    """
    file = folder / f"{plan.split}.jsonl"
    count = count_rows([file])
    few = tuple(choices) if len(choices) <= MAX_CHOICES else ()
    measures = plan.measures or (MEASURES if few else (*OF_LIKELIHOODS, *OF_TEXTS))
    if not {*OF_CHOICES} & {*measures}:
        few = ()  # nobody asks what the other answers would have been
    items, skipped = [], 0
    for place, row in read_rows([file], drawn(count, plan.max_rows, plan.seed)):
        item = _item(str(row.get("row", place + 1)), row, few)
        if item is None:
            skipped += 1
        else:
            items.append(item)
    return Suite(
        name=DATASET_SUITE,
        items=_with_keys_of_their_own(items),
        measures=measures,
        shown=OF_CLASSES if few and not plan.measures else (),
        max_new_tokens=plan.max_new_tokens,
        rows=count,
        skipped=skipped,
        first_skipped=NO_ANSWER if skipped else "",
    )


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
            is_open=False,
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


def _with_keys_of_their_own(items: Sequence[Item]) -> tuple[Item, ...]:
    """Rows that were made of one source row share its number."""
    seen: dict[str, int] = {}
    told_apart = []
    for item in items:
        seen[item.key] = times = seen.get(item.key, 0) + 1
        key = item.key if times == 1 else f"{item.key}.{times}"
        told_apart.append(Item(**{**_fields(item), "key": key}))
    return tuple(told_apart)


def _fields(item: Item) -> dict[str, Any]:
    return {name: getattr(item, name) for name in Item.__dataclass_fields__}
