"""Orders of a recipe's steps: where each is placed, with which body and under which key."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from modelmill_client import Modelmill

from modelmill_recipes.api import Record
from modelmill_recipes.recipe import Recipe

CHUNK_BYTES = 1 << 20


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


def dataset_order(recipe: Recipe, file_id: str) -> Order:
    """Of the dataset."""
    body = {**recipe.dataset, "name": recipe.name, "file_id": file_id}
    return Order("dataset", "/v1/datasets", body, "data")


def training_order(recipe: Recipe, base: str, dataset_id: str) -> Order:
    """Of the training."""
    own = {"model": base, "training_file": dataset_id, "suffix": recipe.name}
    return Order("training", "/v1/fine_tuning/jobs", {**recipe.training, **own}, "training")


def build_orders(recipe: Recipe, version_id: str, dataset_id: str) -> Iterator[Order]:
    """Of the builds that are asked for."""
    own = {"model": version_id, "dataset_id": dataset_id}
    for given in recipe.optimizations:
        step = f"build {given.get('target_form', '')}".rstrip()
        yield Order(step, "/v1/optimizations", {**given, **own}, "optimizations")


def evaluation_order(recipe: Recipe, served_version_id: str, dataset_id: str) -> Order | None:
    """Of the evaluation, where one is asked for."""
    if recipe.evaluation is None:
        return None
    own = {"model": served_version_id, "dataset_id": dataset_id}
    return Order("evaluation", "/v1/evaluations", {**recipe.evaluation, **own}, "evaluation")


def stored_file(client: Modelmill, file: Path) -> Mapping[str, Any] | None:
    """A file of the same content that was uploaded before."""
    sha256 = _sha256_of(file)
    files = client.files.list(purpose="fine-tune")
    return next((each for each in files if each["sha256"] == sha256), None)


def version_of(client: Modelmill, name: str) -> str:
    """The version that an id or an alias stands for."""
    model: Record = client.models.retrieve(name)
    return str(model.get("version_id") or model["id"])


def serving_version(client: Modelmill, version_id: str) -> str:
    """What serves a model; empty while its default build has not ended."""
    model: Record = client.models.retrieve(version_id)
    return str(model["serving_version_id"] or "")


def _sha256_of(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as content:
        while chunk := content.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
