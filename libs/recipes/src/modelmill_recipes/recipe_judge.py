"""The judge of a recipe's evaluation, and the score that it must give before the alias moves."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from modelmill_recipes.located import Place

JUDGE: Final = "judge"
"""The field of the evaluation that names its file, and the measure of a protection of its score."""
NAMED = (*("slice_by", "slice_value", "suite"), "largest_loss")
"""Fields of other protections: of a judge there is only the mean score of one model."""


@dataclass(frozen=True)
class RecipeJudge:
    """A judge's file, and what it decides."""

    file: Path
    """Absolute."""
    worst: float | None
    """Mean score that the model must reach; None where the judge decides nothing."""


def without_judge(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """The section as the API takes it: a judge is asked by the run, and must see the prompts."""
    body = {name: value for name, value in evaluation.items() if name != JUDGE}
    if JUDGE in evaluation:
        body["with_prompts"] = True
    if "protections" in body:
        body["protections"] = [it for it in body["protections"] if it["measure"] != JUDGE]
    return body


def judge_of(
    evaluation: Mapping[str, Any], folder: Path, errors: list[tuple[Place, str]]
) -> RecipeJudge | None:
    """The judge that a section names; None where there is none, or it is wrong.

    Args:
        folder: To which its file is relative.
        errors: Takes what is wrong with it.
    """
    bounds = dict(_bounds(evaluation))
    wrong = [*_errors_of_bounds(bounds, has_judge=JUDGE in evaluation)]
    errors += wrong
    if JUDGE not in evaluation:
        return None
    file = (folder / Path(evaluation[JUDGE]).expanduser()).resolve()
    if not file.is_file():
        place = ("evaluation", JUDGE)
        errors.append(
            (place, f"evaluation.judge: no file {evaluation[JUDGE]!r}. Looked for {file}")
        )
    if wrong:
        return None
    return RecipeJudge(file, next((float(each["worst"]) for each in bounds.values()), None))


def _bounds(evaluation: Mapping[str, Any]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Protections of the judge's score, by their place in the list."""
    for place, each in enumerate(evaluation.get("protections") or ()):
        if each["measure"] == JUDGE:
            yield place, each


def _errors_of_bounds(
    bounds: Mapping[int, Mapping[str, Any]], *, has_judge: bool
) -> Iterator[tuple[Place, str]]:
    for number, (index, each) in enumerate(bounds.items()):
        place: Place = ("evaluation", "protections", index)
        where = f"evaluation.protections.{index}"
        if not has_judge:
            yield place, f"{where}: bounds a judge. Name its file as `judge` of `evaluation`"
        elif number:
            yield place, f"{where}: the second that bounds the judge. Leave one"
        elif each.get("worst") is None or any(each.get(name) for name in NAMED):
            yield place, f"{where}: bounds a judge. Give `worst`, and nothing else"
