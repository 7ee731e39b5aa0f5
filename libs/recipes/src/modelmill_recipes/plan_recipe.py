"""What a run of a recipe would do; nothing is ordered."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from modelmill_recipes.api import Api, Record
from modelmill_recipes.orders import (
    Order,
    build_orders,
    dataset_order,
    evaluation_order,
    stored_file,
    training_order,
)
from modelmill_recipes.recipe import Recipe


@dataclass(frozen=True)
class PlannedStep:
    """A step, and whether a run finds it done."""

    step: str
    is_kept: bool
    words: str


def plan_recipe(recipe: Recipe, api: Api) -> Iterator[PlannedStep]:
    """The steps in order. What depends on a step that is to be done is to be done, too: its inputs
    are not there yet."""
    (file,) = recipe.files
    stored = stored_file(api, file)
    yield PlannedStep("files", stored is not None, file.name)
    job = _done(api, dataset_order(recipe, stored["id"]) if stored else None)
    yield _step("dataset", job)
    dataset_id = _dataset_of(api, job)
    base = _base(recipe, api)
    can_train = base and dataset_id
    job = _done(api, training_order(recipe, base, dataset_id) if can_train else None)
    yield _step("training", job)
    version_id = job["result"]["version_id"] if job else ""
    served = api.get(f"/v1/models/{version_id}")["serving_version_id"] if version_id else ""
    yield PlannedStep("build", bool(served), served or "")
    for order in build_orders(recipe, version_id, dataset_id):
        yield _step(order.step, _done(api, order if served else None))
    if evaluation := evaluation_order(recipe, served or "", dataset_id):
        yield _step(evaluation.step, _done(api, evaluation if served else None))
    aliases = {each["name"]: each["version_id"] for each in api.get("/v1/aliases")["data"]}
    at = aliases.get(recipe.alias, "")
    yield PlannedStep(f"alias {recipe.alias}", bool(served) and at == served, at)


def _base(recipe: Recipe, api: Api) -> str:
    """The version to begin from; of a folder the newest that was imported under its name."""
    if not isinstance(recipe.base, Path):
        model = api.get(f"/v1/models/{quote(recipe.base, safe='')}")
        return str(model.get("version_id") or model["id"])
    for model in api.get("/v1/models")["data"]:
        if model.get("name") == recipe.base.name and not model.get("parent_version_id"):
            return str(model["id"])
    return ""


def _done(api: Api, order: Order | None) -> Record | None:
    """The job that has done it; None where there is none, or its inputs are not there yet."""
    if order is None:
        return None
    for key in order.idempotency_keys():
        jobs = api.get("/v1/jobs", idempotency_key=key)["data"]
        if not jobs:
            return None
        job: Record = jobs[0]
        if job["status"] != "cancelled":
            return job if job["status"] == "succeeded" else None
    return None


def _dataset_of(api: Api, job: Record | None) -> str:
    if job is None:
        return ""
    datasets = api.each("/v1/datasets")
    return next((str(each["id"]) for each in datasets if each["job_id"] == job["id"]), "")


def _step(name: str, job: Record | None) -> PlannedStep:
    return PlannedStep(name, job is not None, job["id"] if job else "")
