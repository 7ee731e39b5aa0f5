"""Evaluation items from a task's rows and templates."""

import ast
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelmill_jobs.child import ChildFailure

from modelmill_trainer.domain.evaluation_plan import EvaluationPlan
from modelmill_trainer.evaluating.items import Item, Prompt, Suite, count_rows, drawn, read_rows
from modelmill_trainer.evaluating.tasks.config import GENERATE, MULTIPLE_CHOICE, TaskConfig
from modelmill_trainer.evaluating.tasks.templates import TemplateFailed, rendered


def task_suite(config: TaskConfig, files: Mapping[str, Path], plan: EvaluationPlan) -> Suite:
    """The evaluation items of a task.

    Args:
        files: Path by the file name used in the config.

    Raises:
        ChildFailure: a line is not JSON, or a few-shot example cannot be rendered.
    """
    paths = [files[name] for name in config.data_files]
    count = count_rows(paths)
    before = _few_shot_prefix(config, files)
    items: list[Item] = []
    skipped, first = 0, ""
    for place, row in read_rows(paths, drawn(count, plan.max_rows, plan.seed)):
        try:
            items.append(_encodable(_item(config, str(place + 1), row, before)))
        except TemplateFailed as failure:
            skipped, first = skipped + 1, first or f"row {place + 1}: {failure}"
    return Suite(
        name=config.name,
        items=tuple(items),
        measures=config.measures,
        max_new_tokens=config.max_new_tokens or plan.max_new_tokens,
        rows=count,
        skipped=skipped,
        first_skipped=first,
    )


def _few_shot_prefix(config: TaskConfig, files: Mapping[str, Path]) -> str:
    """Description and few-shot examples, which precede each question."""
    parts = [config.description]
    wanted = set(range(config.shots))
    for place, row in read_rows([files[name] for name in config.shots_files], wanted):
        try:
            item = _item(config, str(place + 1), row, "")
        except TemplateFailed as failure:
            raise ChildFailure(
                "BAD_TASK", f"{config.name}: example {place + 1}: {failure}", "Mend the task."
            ) from failure
        parts += [item.prompt.text, config.target_delimiter, item.reference, config.shots_delimiter]
    return "".join(parts)


def _item(config: TaskConfig, key: str, row: Mapping[str, Any], before: str) -> Item:
    prompt = Prompt(text=before + _text(config.text, row, "doc_to_text"))
    columns = {name: value for name, value in row.items() if not isinstance(value, list | dict)}
    common: dict[str, Any] = {"key": key, "prompt": prompt, "columns": columns}
    if config.output_type == MULTIPLE_CHOICE:
        choices = _choices(config, row)
        right = _right(config, row, choices)
        continuations = tuple(config.target_delimiter + choice for choice in choices)
        return Item(
            **common,
            reference=choices[right],
            continuations=continuations,
            choices=choices,
            right=right,
            is_generative=False,
        )
    reference = _text(config.target, row, "doc_to_target")
    return Item(
        **common,
        reference=reference,
        continuations=(config.target_delimiter + reference,),
        is_generative=config.output_type == GENERATE,
        stops=config.stops or ((config.shots_delimiter,) if config.output_type == GENERATE else ()),
    )


def _encodable(item: Item) -> Item:
    """The item; raises if a text cannot be encoded as UTF-8."""
    try:
        for text in (item.prompt.text, item.reference, *item.continuations):
            text.encode()
    except UnicodeEncodeError as error:
        raise TemplateFailed("a text has an unpaired surrogate") from error
    return item


def _text(template: str | int, row: Mapping[str, Any], what: str) -> str:
    value = rendered(template, row) if isinstance(template, str) else template
    if isinstance(value, list | dict) or value is None or value == "":
        raise TemplateFailed(f"{what} gives no text")
    return str(value)


def _choices(config: TaskConfig, row: Mapping[str, Any]) -> tuple[str, ...]:
    given: Any = config.choices
    if isinstance(given, str):
        given = rendered(given, row)
        given = _list_in(given) if isinstance(given, str) else given
    choices = tuple(map(str, given)) if isinstance(given, list | tuple) else ()
    if not 2 <= len(choices) <= 256 or not all(choices):
        raise TemplateFailed("doc_to_choice gives no list of 2 to 256 texts")
    return choices


def _list_in(text: str) -> Any:
    """Parse a list that a template rendered, as JSON or as a Python literal."""
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    return None


def _right(config: TaskConfig, row: Mapping[str, Any], choices: tuple[str, ...]) -> int:
    target: Any = config.target
    if isinstance(target, str):
        target = rendered(target, row)
    if isinstance(target, str) and target in choices:
        return choices.index(target)
    try:
        right = int(target)
    except (TypeError, ValueError) as error:
        raise TemplateFailed("doc_to_target gives neither a choice nor its number") from error
    if not 0 <= right < len(choices):
        raise TemplateFailed(f"doc_to_target gives {right}, but there are {len(choices)} choices")
    return right
