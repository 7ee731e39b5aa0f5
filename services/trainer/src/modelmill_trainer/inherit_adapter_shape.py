"""Use case: take the LoRA shape from the adapter that a run continues from."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

from modelmill.registry.v1.model_events_pb2 import ModelReady
from modelmill.trainer.v1.trainer_service_pb2 import TRAINING_OBJECTIVE_KTO, TrainSpec
from modelmill_bus.subjects import MODEL_READY
from modelmill_registry.catalogue import ModelCatalogue
from modelmill_registry.store import ArtifactStore
from modelmill_service_kit.errors import NotFoundError

from modelmill_trainer.choices import METHODS, is_auto, set_method
from modelmill_trainer.domain.methods import LORA, LOW_RANK

ADAPTER_FORM = "adapter"
INHERITED_FIELDS = ("lora_rank", "lora_alpha", "target_modules", "target_parameters")
"""Fields that determine the shape and scale of the weights; all others are free."""
WHY_LORA = "lora, because the run continues from an adapter"


class InheritAdapterShape:
    """Copies rank, alpha and target layers from an adapter's manifest into a spec."""

    def __init__(self, models: ModelCatalogue, store: ArtifactStore) -> None:
        self._models = models
        self._store = store

    async def __call__(
        self, tenant: str, wanted: TrainSpec, errors: list[str], missing: list[str]
    ) -> None:
        """Write the adapter's shape into `wanted`, if it names an adapter.

        Errors are appended to `errors` or `missing`.

        Raises:
            UnavailableError: the adapter is not known here, and the bus does not answer.
        """
        if not wanted.adapter_version_id:
            return
        try:
            adapter = await self._models.look(
                lambda: self._models.get(tenant, wanted.adapter_version_id), MODEL_READY
            )
            manifest = await asyncio.to_thread(self._store.manifest, adapter.digest)
        except NotFoundError as error:
            missing.append(error.message)
            return
        earlier = manifest.attributes.get("hyper_parameters") or {}
        if is_auto(wanted):
            set_method(wanted, LORA, WHY_LORA)
        found = [*_incompatibilities(wanted, adapter, earlier)]
        errors += found or _apply_shape(wanted, earlier)


def _incompatibilities(
    wanted: TrainSpec, adapter: ModelReady, earlier: Mapping[str, Any]
) -> Iterator[str]:
    """Reasons why this run cannot continue from the adapter."""
    named = f"adapter_version_id: {adapter.version_id}"
    if adapter.form != ADAPTER_FORM:
        yield f"{named} is of form {adapter.form}. Name an adapter, or none to start from the base"
    elif earlier.get("method") not in LOW_RANK:
        yield (
            f"{named} was trained by method {earlier.get('method')}, and only a LoRA adapter can "
            f"be continued. Start from its base {adapter.parent_version_id}"
        )
    elif adapter.parent_version_id != wanted.base_version_id:
        yield f"base_version_id: the adapter's base is {adapter.parent_version_id}. Name that one"
    if METHODS.get(wanted.method) not in LOW_RANK:
        yield (
            "method: only lora and qlora continue from an adapter. Use one, or start from the base "
            f"{adapter.parent_version_id}"
        )
    if wanted.objective == TRAINING_OBJECTIVE_KTO:
        yield (
            "objective: kto compares every step with the initial model, which is lost when an "
            "adapter is trained further. Use dpo, or start from the base "
            f"{adapter.parent_version_id}"
        )


def _apply_shape(wanted: TrainSpec, earlier: Mapping[str, Any]) -> list[str]:
    """Write the inherited fields; values that were given must be equal."""
    errors, given = [], wanted.hyper_parameters
    for name in INHERITED_FIELDS:
        asked, its = getattr(given, name), earlier[name]
        if isinstance(its, list | tuple):
            if asked and list(asked) != list(its):
                errors.append(_conflict(name, its))
            del asked[:]
            asked.extend(its)
            continue
        if asked and asked != its:
            errors.append(_conflict(name, its))
        setattr(given, name, its)
    return errors


def _conflict(name: str, its: Any) -> str:
    return f"{name}: the adapter to continue from has {its or 'none'}. Leave it out"
