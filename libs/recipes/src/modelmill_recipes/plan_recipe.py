"""What a run of a recipe would do; nothing is ordered."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from modelmill_client import Modelmill

from modelmill_recipes.api import Record
from modelmill_recipes.orders import (
    Order,
    build_orders,
    dataset_order,
    evaluation_order,
    files_words,
    serving_version,
    stored_files,
    training_order,
    version_of,
)
from modelmill_recipes.recipe import Recipe


@dataclass(frozen=True)
class PlannedStep:
    """A step, and whether a run finds it done."""

    step: str
    is_kept: bool
    words: str


def plan_recipe(recipe: Recipe, client: Modelmill) -> Iterator[PlannedStep]:
    """The steps in order. What depends on a step that is to be done is to be done, too: its inputs
    are not there yet."""
    stored = stored_files(client, recipe.files)
    is_stored = all(stored.values())
    yield PlannedStep("files", is_stored, files_words([*stored]))
    job = _done(client, dataset_order(recipe, [*stored.values()]) if is_stored else None)
    yield _step("dataset", job)
    dataset_id = _dataset_of(client, job)
    base = _base(recipe, client)
    can_train = base and dataset_id
    job = _done(client, training_order(recipe, base, dataset_id) if can_train else None)
    yield _step("training", job)
    version_id = job["result"]["version_id"] if job else ""
    served = serving_version(client, version_id) if version_id else ""
    yield PlannedStep("build", bool(served), served or "")
    for order in build_orders(recipe, version_id, dataset_id):
        yield _step(order.step, _done(client, order if served else None))
    if evaluation := evaluation_order(recipe, served or "", dataset_id):
        yield _step(evaluation.step, _done(client, evaluation if served else None))
    aliases = {each["name"]: each["version_id"] for each in client.aliases.list()}
    at = aliases.get(recipe.alias, "")
    yield PlannedStep(f"alias {recipe.alias}", bool(served) and at == served, at)


def _base(recipe: Recipe, client: Modelmill) -> str:
    """The version to begin from; of a folder the newest that was imported under its name."""
    if not isinstance(recipe.base, Path):
        return version_of(client, recipe.base)
    for model in client.models.list():
        if model.get("name") == recipe.base.name and not model.get("parent_version_id"):
            return str(model["id"])
    return ""


def _done(client: Modelmill, order: Order | None) -> Record | None:
    """The job that has done it; None where there is none, or its inputs are not there yet."""
    if order is None:
        return None
    for key in order.idempotency_keys():
        job = next(client.jobs.list(idempotency_key=key), None)
        if job is None:
            return None
        if job["status"] != "cancelled":
            return job if job["status"] == "succeeded" else None
    return None


def _dataset_of(client: Modelmill, job: Record | None) -> str:
    if job is None:
        return ""
    datasets = client.datasets.list()
    return next((str(each["id"]) for each in datasets if each["job_id"] == job["id"]), "")


def _step(name: str, job: Record | None) -> PlannedStep:
    return PlannedStep(name, job is not None, job["id"] if job else "")
