"""Orders of a recipe's steps: where each is placed, with which body and under which key."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path, PurePath
from typing import Any, Final, Literal

from modelmill_client import Modelmill

from modelmill_recipes.api import Record
from modelmill_recipes.evaluation_suite import EvaluationSuite
from modelmill_recipes.recipe import DISTILLATION, Recipe

CHUNK_BYTES = 1 << 20
MOST_NAMED = 4
SUITE_PURPOSE: Final = "user_data"
COMPRESSED = (".gz", ".zst")


@dataclass(frozen=True)
class Order:
    """An order of a job."""

    step: str
    """As people are told of it."""
    path: str
    body: Record
    section: str
    """Of the recipe, which is at fault when the order is refused."""

    def idempotency_keys(self) -> Iterator[str]:
        """Idempotency keys, of the inputs alone: the first, and one more for each job under them
        that was cancelled."""
        text = json.dumps(
            [self.path, self.body], sort_keys=True, ensure_ascii=False, separators=(",", ":")
        )
        key = f"recipe-{hashlib.sha256(text.encode()).hexdigest()[:40]}"
        yield key
        for number in count(1):
            yield f"{key}-{number}"


def step_names(recipe: Recipe) -> list[str]:
    """Steps of a run, in order, as people are told of them."""
    first = [] if isinstance(recipe.base, str) else ["base"]
    builds = [order.step for order in build_orders(recipe, "", "")]
    measured = {"evaluation": recipe.evaluation, "judge": recipe.judge}
    later = {**measured, "policy": recipe.policy, "limits": recipe.limits}
    given = [name for name, value in later.items() if value is not None]
    pruned = ["pruning"] if recipe.pruning is not None else []
    made = ["files", "dataset", *pruned, "training", "build", *builds]
    return [*first, *made, *given, f"alias {recipe.alias}"]


def dataset_order(recipe: Recipe, file_ids: Sequence[str]) -> Order:
    """Of the dataset."""
    files = {"file_ids": [*file_ids]} if len(file_ids) > 1 else {"file_id": file_ids[0]}
    body = {**recipe.dataset, "name": recipe.name, **files}
    return Order("dataset", "/v1/datasets", body, "data")


def pruning_order(recipe: Recipe, base: str, dataset_id: str) -> Order | None:
    """Of the pruning of the base, where it is asked for; a build stands for what it is made of."""
    if recipe.pruning is None:
        return None
    body = {"target_form": "pruned", "pruning": recipe.pruning, "model": base}
    return Order("pruning", "/v1/optimizations", {**body, "dataset_id": dataset_id}, "pruning")


def training_order(recipe: Recipe, base: str, dataset_id: str, teacher: str = "") -> Order:
    """Of the training.

    Args:
        teacher: The whole model, where the base is a pruned one; the recipe may name another.
    """
    is_taught = teacher and recipe.training.get("objective") == DISTILLATION
    own = {"model": base, "training_file": dataset_id, "suffix": recipe.name}
    body = {**({"teacher": teacher} if is_taught else {}), **recipe.training, **own}
    return Order("training", "/v1/fine_tuning/jobs", body, "training")


def build_orders(recipe: Recipe, version_id: str, dataset_id: str) -> Iterator[Order]:
    """Of the builds that are asked for."""
    own = {"model": version_id, "dataset_id": dataset_id}
    for given in recipe.optimizations:
        body = {**given, **own}
        yield Order(_build_step(given), "/v1/optimizations", body, "optimizations")


def _build_step(given: Mapping[str, Any]) -> str:
    """Name of the step of one of `optimizations`."""
    if objective := given.get("objective"):
        words = " ".join(f"{name}={value:g}" for name, value in objective.items())
        return f"optimize {words}"
    return f"build {given.get('target_form', '')}".rstrip()


def evaluation_order(
    recipe: Recipe, served_version_id: str, dataset_id: str, suite_file_ids: Mapping[Path, str]
) -> Order | None:
    """Of the evaluation, where one is asked for.

    Args:
        suite_file_ids: Of the files of its suite, which are uploaded; empty without one.
    """
    if recipe.evaluation is None:
        return None
    own = {"model": served_version_id, "dataset_id": dataset_id}
    suite = recipe.suite.order(suite_file_ids) if recipe.suite is not None else {}
    body = {**recipe.evaluation, **own, **suite}
    return Order("evaluation", "/v1/evaluations", body, "evaluation")


def stored_suite_files(client: Modelmill, suite: EvaluationSuite | None) -> dict[Path, str]:
    """Ids of a suite's files that were uploaded before; empty where they were not."""
    if suite is None:
        return {}
    return stored_files(client, suite.files, purpose=SUITE_PURPOSE, same_name=True)


def upload_suite(client: Modelmill, suite: EvaluationSuite | None) -> dict[Path, str]:
    """Ids of a suite's files; those that were uploaded before are not sent again."""
    return {
        path: known or str(client.files.upload(path, purpose=SUITE_PURPOSE)["id"])
        for path, known in stored_suite_files(client, suite).items()
    }


def stored_files(
    client: Modelmill,
    files: Sequence[Path],
    *,
    purpose: Literal["fine-tune", "user_data"] = "fine-tune",
    same_name: bool = False,
) -> dict[Path, str]:
    """Ids of files of the same content and format that were uploaded before, the first of each;
    empty where there is none. A file with the content of one before it is left out.

    Args:
        same_name: Whether their names must be the same, too.
    """
    part: Callable[[str], str] = str if same_name else _ending
    known: dict[tuple[str, str], Path] = {}
    for file in files:
        known.setdefault((_sha256(file), part(file.name)), file)
    found = dict.fromkeys(known.values(), "")
    for each in client.files.list(purpose=purpose, order="asc"):
        same = known.get((each["sha256"] or "", part(each["filename"])))
        if same is not None and not found[same]:
            found[same] = each["id"]
    return found


def _ending(filename: str) -> str:
    """What says the format."""
    *_, inner, last = ["", "", *PurePath(filename.lower()).suffixes]
    return f"{inner}{last}" if last in COMPRESSED else last


def version_of(client: Modelmill, name: str) -> str:
    """The version that an id or an alias stands for."""
    model: Record = client.models.retrieve(name)
    return str(model.get("version_id") or model["id"])


def serving_version(client: Modelmill, version_id: str) -> str:
    """What serves a model; empty while its default build has not ended."""
    model: Record = client.models.retrieve(version_id)
    return str(model["serving_version_id"] or "")


def files_words(files: Sequence[Path]) -> str:
    """Names of files, for people: of many the first and the last."""
    names = [file.name for file in files]
    if len(names) > MOST_NAMED:
        names = [names[0], "…", f"{names[-1]} ({len(files)} files)"]
    return ", ".join(names).replace(", …, ", " … ")


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as content:
        while chunk := content.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
