"""Use case: run one build job from a model version to an artifact."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelmill.optimizer_builder.v1.optimizer_builder_service_pb2 import BuildSpec
from modelmill.registry.v1.model_events_pb2 import DatasetReady, ModelReady
from modelmill_bus.kinds import version_id_of
from modelmill_jobs.active import ActiveJob
from modelmill_jobs.errors import JobFailed
from modelmill_registry.manifest import Manifest
from modelmill_registry.materialised import in_use
from modelmill_registry.model_card import CARD, CardFacts, licence_of, model_card
from modelmill_registry.store import ArtifactStore
from modelmill_service_kit.errors import NotFoundError

from modelmill_optimizer_builder.create_build import Known
from modelmill_optimizer_builder.domain.build_plan import ADAPTER

CHILD = "modelmill_optimizer_builder.child"
CHILD_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",  # everything is local; a wrong path must not become a download
    "TOKENIZERS_PARALLELISM": "false",
}


@dataclass(frozen=True)
class Ingredients:
    """What one build is made of."""

    source: ModelReady
    source_manifest: Manifest
    dataset: DatasetReady | None
    dataset_manifest: Manifest | None
    base_name: str
    """Of the model at the root of the source's chain."""

    @property
    def base_digest(self) -> str:
        """The base of an adapter, by the adapter's own record; another model is its own base."""
        if self.source.form != ADAPTER:
            return self.source.digest
        return self.source_manifest.made_from["base"]

    @property
    def made_from(self) -> dict[str, str]:
        """Roles for the build's manifest."""
        roles = {"source": self.source.digest, "base": self.base_digest}
        return roles if self.dataset is None else roles | {"dataset": self.dataset.digest}

    @property
    def choices(self) -> list[str]:
        """Answers that the dataset lets a model choose among; none when its answers are free."""
        if self.dataset_manifest is None:
            return []
        return list(self.dataset_manifest.attributes.get("choices", ()))


class BuildModel:
    """Makes builds. Idempotent: another attempt of a job gives the same version id."""

    def __init__(self, known: Known, store: ArtifactStore) -> None:
        self._known = known
        self._store = store

    async def __call__(self, job: ActiveJob, spec: BuildSpec) -> ModelReady:
        """The build, stored and to be announced.

        Raises:
            JobFailed: The source or dataset is gone, or the child refuses what it made.
        """
        ingredients = await self._gather(job.tenant, spec)
        target = job.folder / "build"
        request = await asyncio.to_thread(self._child_request, spec, ingredients)
        sources = (request["base"], request["adapter"], request["dataset"])
        with in_use(*(Path(source) for source in sources if source)):
            made = await job.run_child(
                CHILD, request | {"target": str(target)}, env=CHILD_ENVIRONMENT
            )
        figures = dict(made["figures"])
        context_tokens = int(figures.pop("context_tokens"))
        attributes = {
            "context_tokens": context_tokens,
            "measurements": figures,
            "parity": made["parity"],
        }
        manifest = await asyncio.to_thread(
            self._commit, target, spec.target_form, ingredients, attributes, request["base"]
        )
        return _announcement(job, spec, ingredients.source, manifest, context_tokens, figures)

    def _commit(
        self,
        target: Path,
        form: str,
        ingredients: Ingredients,
        attributes: Mapping[str, Any],
        base: str,
    ) -> Manifest:
        """Add the card to what the child has made, and store it."""
        dataset, source = ingredients.dataset, ingredients.source
        facts = CardFacts(
            name=source.name,
            form=form,
            base_name=ingredients.base_name,
            licence=licence_of(Path(base)),
            made_from=ingredients.made_from,
            attributes=attributes,
            figures=attributes["measurements"],
            evaluation=json.loads((target / "evaluation.json").read_text(encoding="utf-8")),
            dataset="" if dataset is None else dataset.name or dataset.dataset_id,
            counts={} if dataset is None else dict(dataset.counts),
        )
        (target / CARD).write_text(model_card(facts), encoding="utf-8")
        return self._store.commit(
            target,
            kind="model",
            form=form,
            made_from=ingredients.made_from,
            attributes=attributes,
        )

    async def _gather(self, tenant: str, spec: BuildSpec) -> Ingredients:
        try:
            source = await self._known.version(tenant, spec.source_version_id)
            dataset = await self._dataset(tenant, spec)
        except NotFoundError as error:
            raise JobFailed("SOURCE_GONE", error.message, "Name one that exists.") from error
        read = self._store.manifest
        return Ingredients(
            source,
            await asyncio.to_thread(read, source.digest),
            dataset,
            None if dataset is None else await asyncio.to_thread(read, dataset.digest),
            await self._base_name(tenant, source),
        )

    async def _base_name(self, tenant: str, source: ModelReady) -> str:
        base = source.base_version_id or source.version_id
        try:
            return (await self._known.version(tenant, base)).name
        except NotFoundError:
            return base  # retired since, and its name with it

    async def _dataset(self, tenant: str, spec: BuildSpec) -> DatasetReady | None:
        if not spec.dataset_id:
            return None
        # Also a retired one: the job was accepted while the dataset was there.
        return await self._known.dataset(tenant, spec.dataset_id, include_retired=True)

    def _child_request(self, spec: BuildSpec, ingredients: Ingredients) -> dict[str, Any]:
        source_folder = self._store.materialise(ingredients.source.digest)
        is_adapter = ingredients.source.form == ADAPTER
        base = self._store.materialise(ingredients.base_digest) if is_adapter else source_folder
        dataset = ingredients.dataset
        folder = None if dataset is None else self._store.materialise(dataset.digest)
        # The trainer's own verdicts can be compared only when they are about the same rows.
        evaluated_on = ingredients.source_manifest.made_from.get("dataset")
        tuned = source_folder / "evaluation.json"
        comparable = dataset is not None and evaluated_on == dataset.digest and tuned.is_file()
        return {
            "form": spec.target_form,
            "base": str(base),
            "adapter": str(source_folder) if is_adapter else None,
            "dataset": None if folder is None else str(folder),
            "choices": ingredients.choices,
            "max_rows": spec.max_rows,
            "max_accuracy_loss": spec.max_accuracy_loss,
            "tuned": str(tuned) if comparable else None,
        }


def _announcement(
    job: ActiveJob,
    spec: BuildSpec,
    source: ModelReady,
    manifest: Manifest,
    context_tokens: int,
    figures: Mapping[str, float],
) -> ModelReady:
    ready = ModelReady(
        version_id=version_id_of(job.job_id, spec.target_form),
        tenant=job.tenant,
        name=source.name,
        form=spec.target_form,
        digest=manifest.digest,
        parent_version_id=source.version_id,
        base_version_id=source.base_version_id or source.version_id,
        job_id=job.job_id,
        dataset_id=spec.dataset_id,
        size_bytes=manifest.size_bytes,
        context_tokens=context_tokens,
        metrics=figures,
    )
    ready.created_at.GetCurrentTime()
    return ready
