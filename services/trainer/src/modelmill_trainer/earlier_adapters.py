"""Use case: what a run takes over from the adapter that it goes on from."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from modelmill.registry.v1.model_events_pb2 import ModelReady
from modelmill.trainer.v1.trainer_service_pb2 import (
    TRAINING_METHOD_LORA,
    TRAINING_METHOD_UNSPECIFIED,
    TRAINING_OBJECTIVE_KTO,
    TrainSpec,
)
from modelmill_registry.store import ArtifactStore
from modelmill_service_kit.errors import NotFoundError

from modelmill_trainer.choices import is_auto, set_method
from modelmill_trainer.domain.methods import LORA
from modelmill_trainer.retry_until_known import soon

ADAPTER_FORM = "adapter"
TAKEN_OVER = ("lora_rank", "lora_alpha", "target_modules", "target_parameters")
"""What shapes of the weights and their scale follow from; anything else is free."""
WHY_LORA = "lora, because the run goes on from an adapter"


class Models(Protocol):
    def get(self, tenant: str, version_id: str) -> ModelReady:
        """Raises NotFoundError."""
        ...


class EarlierAdapters:
    """Adapters that runs go on from, as their manifests tell of them."""

    def __init__(self, models: Models, store: ArtifactStore) -> None:
        self._models = models
        self._store = store

    async def take_over(
        self, tenant: str, wanted: TrainSpec, errors: list[str], missing: list[str]
    ) -> None:
        """Write the adapter's shape into `wanted`, where it names one.

        What is wrong with it is appended to one of the lists.
        """
        if not wanted.adapter_version_id:
            return
        try:
            adapter = await soon(lambda: self._models.get(tenant, wanted.adapter_version_id))
            manifest = await asyncio.to_thread(self._store.manifest, adapter.digest)
        except NotFoundError as error:
            missing.append(error.message)
            return
        earlier = manifest.attributes.get("hyper_parameters") or {}
        if is_auto(wanted):
            set_method(wanted, LORA, WHY_LORA)
        found = [*_misfits(wanted, adapter, earlier)]
        errors += found or _take(wanted, earlier)


def _misfits(wanted: TrainSpec, adapter: ModelReady, earlier: Mapping[str, Any]) -> Iterator[str]:
    """Why no run can go on from it, or not such a run."""
    named = f"adapter_version_id: {adapter.version_id}"
    if adapter.form != ADAPTER_FORM:
        yield f"{named} is of form {adapter.form}. Name an adapter, or none to begin at the base"
    elif earlier.get("method") != LORA:
        yield (
            f"{named} was trained by method {earlier.get('method')}. Begin at its base "
            f"{adapter.parent_version_id}, as only a LoRA adapter can be gone on from"
        )
    elif adapter.parent_version_id != wanted.base_version_id:
        yield f"base_version_id: the adapter's base is {adapter.parent_version_id}. Name that one"
    if wanted.method not in (TRAINING_METHOD_UNSPECIFIED, TRAINING_METHOD_LORA):
        yield (
            "method: only method lora goes on from an adapter. Use it, or begin at the base "
            f"{adapter.parent_version_id}"
        )
    if wanted.objective == TRAINING_OBJECTIVE_KTO:
        yield (
            "objective: kto compares with the model that the run began with in every step, and "
            "that is gone where an adapter is trained on. Use dpo, or begin at the base "
            f"{adapter.parent_version_id}"
        )


def _take(wanted: TrainSpec, earlier: Mapping[str, Any]) -> list[str]:
    """Write down what the adapter decides; what was given must be the same."""
    errors, given = [], wanted.hyper_parameters
    for name in TAKEN_OVER:
        asked, its = getattr(given, name), earlier[name]
        if isinstance(its, list | tuple):
            if asked and list(asked) != list(its):
                errors.append(_another(name, its))
            del asked[:]
            asked.extend(its)
            continue
        if asked and asked != its:
            errors.append(_another(name, its))
        setattr(given, name, its)
    return errors


def _another(name: str, its: Any) -> str:
    return f"{name}: the adapter that the run goes on from has {its or 'none'}. Leave it out"
