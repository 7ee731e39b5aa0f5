"""Use case: run a build job, from a model version to a registered artifact."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from modelmill.optimizer_builder.v1.optimizer_builder_service_pb2 import BuildSpec
from modelmill.registry.v1.model_events_pb2 import DatasetReady, ModelReady
from modelmill_bus.kinds import version_id_of
from modelmill_bus.subjects import DATASET_READY, MODEL_READY
from modelmill_jobs.active import ActiveJob
from modelmill_jobs.errors import JobFailed
from modelmill_registry.catalogue import DatasetCatalogue, ModelCatalogue
from modelmill_registry.manifest import Manifest, origin_of
from modelmill_registry.materialised import in_use
from modelmill_registry.model_card import CARD, CardFacts, licence_of, model_card
from modelmill_registry.store import ArtifactStore
from modelmill_service_kit.errors import NotFoundError

from modelmill_optimizer_builder.check_build_spec import pruning_of
from modelmill_optimizer_builder.domain.forms import ADAPTER, PRUNED, form_named
from modelmill_optimizer_builder.domain.prompt_lookup import lookup_mode
from modelmill_optimizer_builder.domain.pruning import NotPrunableError, Pruning, planned_shape

CHILD = "modelmill_optimizer_builder.child"
CHILD_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",  # a wrong path must not become a download
    "TOKENIZERS_PARALLELISM": "false",
}


@dataclass(frozen=True)
class BuildInputs:
    """Source, dataset and manifests of a build."""

    source: ModelReady
    source_manifest: Manifest
    dataset: DatasetReady | None
    dataset_manifest: Manifest | None
    base_name: str
    """Name of the base model at the root of the source's lineage."""

    @property
    def base_digest(self) -> str:
        """Digest of an adapter's base, from the adapter's manifest; other models are their own
        base."""
        if self.source.form != ADAPTER:
            return self.source.digest
        return self.source_manifest.made_from["base"]

    @property
    def made_from(self) -> dict[str, str]:
        """Digest by role, for the build's manifest."""
        roles = {"source": self.source.digest, "base": self.base_digest}
        return roles if self.dataset is None else roles | {"dataset": self.dataset.digest}

    @property
    def choices(self) -> list[str]:
        """Answer choices of the dataset; empty if answers are free text."""
        if self.dataset_manifest is None:
            return []
        return list(self.dataset_manifest.attributes.get("choices", ()))


@dataclass(frozen=True)
class WrittenBuild:
    """What the child says of a build that it wrote."""

    figures: Mapping[str, float]
    parity: Mapping[str, Any]
    method: Mapping[str, Any]


class BuildModel:
    """Idempotent: another attempt of a job gives the same version id."""

    def __init__(
        self,
        models: ModelCatalogue,
        datasets: DatasetCatalogue,
        store: ArtifactStore,
        missing_for_engines: Callable[[], Sequence[str]],
    ) -> None:
        """What it needs.

        Args:
            missing_for_engines: What this machine lacks to build engines of a GPU.
        """
        self._models = models
        self._datasets = datasets
        self._store = store
        self._missing_for_engines = missing_for_engines

    async def __call__(self, job: ActiveJob, spec: BuildSpec) -> ModelReady:
        """Build and store; returns the version to announce.

        Raises:
            JobFailed: The source or dataset was deleted, or the child rejected the build.
        """
        inputs = await self.load_inputs(job.tenant, spec)
        target = job.folder / "build"
        made = await self.make(job, spec, inputs, target)
        return await self.store_build(job, spec, inputs, target, made)

    async def make(
        self,
        job: ActiveJob,
        spec: BuildSpec,
        inputs: BuildInputs,
        target: Path,
        *,
        is_candidate: bool = False,
    ) -> WrittenBuild:
        """Have the child write the build to `target`.

        Args:
            is_candidate: Of a search: kept and marked where it loses too much.

        Raises:
            JobFailed: The child rejected the build.
        """
        request = await asyncio.to_thread(self._child_request, spec, inputs)
        request |= {"target": str(target), "is_candidate": is_candidate}
        sources = (request["base"], request["adapter"], request["dataset"])
        with in_use(*(Path(source) for source in sources if source)):
            about = spec.target_form if is_candidate else ""
            made = await job.run_child(CHILD, request, env=CHILD_ENVIRONMENT, about=about)
        return WrittenBuild(made["figures"], made["parity"], made["method"])

    async def store_build(
        self,
        job: ActiveJob,
        spec: BuildSpec,
        inputs: BuildInputs,
        target: Path,
        made: WrittenBuild,
        further: Mapping[str, Any] | None = None,
    ) -> ModelReady:
        """Store what the child wrote; returns the version to announce.

        Args:
            further: More attributes of its manifest.
        """
        figures = dict(made.figures)
        context_tokens = int(figures.pop("context_tokens"))
        attributes = {
            "context_tokens": context_tokens,
            "measurements": figures,
            "method": {"form": spec.target_form, **made.method},
            "parity": made.parity,
            **(further or {}),
        }
        manifest = await asyncio.to_thread(
            self._commit, target, spec.target_form, inputs, attributes
        )
        return _announcement(job, spec, inputs.source, manifest, context_tokens, figures)

    def _commit(
        self,
        target: Path,
        target_form: str,
        inputs: BuildInputs,
        attributes: Mapping[str, Any],
    ) -> Manifest:
        """Add the model card to the child's output, and store it."""
        dataset, source = inputs.dataset, inputs.source
        base = self._store.materialise(inputs.base_digest)
        origin = origin_of(self._store, source.digest)
        form = form_named(target_form).version_form
        facts = CardFacts(
            name=_name_of(target_form, source),
            form=form,
            base_name=inputs.base_name,
            licence=licence_of(base) or origin.get("licence", ""),
            origin=origin,
            made_from=inputs.made_from,
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
            made_from=inputs.made_from,
            attributes=attributes,
        )

    async def load_inputs(self, tenant: str, spec: BuildSpec) -> BuildInputs:
        """What a spec names.

        Raises:
            JobFailed: SOURCE_GONE; the source or dataset was deleted.
        """
        try:
            source = await self._version(tenant, spec.source_version_id)
            dataset = await self._dataset(tenant, spec)
        except NotFoundError as error:
            raise JobFailed("SOURCE_GONE", error.message, "Name one that exists.") from error
        read = self._store.manifest
        return BuildInputs(
            source,
            await asyncio.to_thread(read, source.digest),
            dataset,
            None if dataset is None else await asyncio.to_thread(read, dataset.digest),
            await self._base_name(tenant, source),
        )

    async def _version(self, tenant: str, version_id: str) -> ModelReady:
        return await self._models.look(lambda: self._models.get(tenant, version_id), MODEL_READY)

    async def _base_name(self, tenant: str, source: ModelReady) -> str:
        base = source.base_version_id or source.version_id
        try:
            return (await self._version(tenant, base)).name
        except NotFoundError:
            return base  # the base was retired, and its name is no longer known

    async def _dataset(self, tenant: str, spec: BuildSpec) -> DatasetReady | None:
        if not spec.dataset_id:
            return None
        return await self._datasets.look(
            lambda: self._datasets.get(tenant, spec.dataset_id), DATASET_READY
        )

    def _child_request(self, spec: BuildSpec, inputs: BuildInputs) -> dict[str, Any]:
        refuse_machine(spec.target_form, self._missing_for_engines)
        source_folder = self._store.materialise(inputs.source.digest)
        is_adapter = inputs.source.form == ADAPTER
        base = self._store.materialise(inputs.base_digest) if is_adapter else source_folder
        pruning = pruning_of(spec)
        refuse_architecture(spec.target_form, base, pruning)
        dataset = inputs.dataset
        folder = None if dataset is None else self._store.materialise(dataset.digest)
        # The trainer's results are comparable only if they are about the same rows.
        evaluated_on = inputs.source_manifest.made_from.get("dataset")
        tuned = source_folder / "evaluation.json"
        comparable = dataset is not None and evaluated_on == dataset.digest and tuned.is_file()
        return {
            "form": spec.target_form,
            "base": str(base),
            "adapter": str(source_folder) if is_adapter else None,
            "dataset": None if folder is None else str(folder),
            "choices": inputs.choices,
            "max_rows": spec.max_rows,
            "max_accuracy_loss": spec.max_accuracy_loss,
            "tuned": str(tuned) if comparable else None,
            "pruning": None if pruning is None else asdict(pruning),
            "prompt_lookup": lookup_mode(spec.prompt_lookup),
        }


def refuse_machine(form: str, missing_for_engines: Callable[[], Sequence[str]]) -> None:
    """Refuse, before any work, a form that cannot be built on this machine.

    Raises:
        JobFailed: MISSING_RUNTIME; names what is missing.
    """
    lacking = missing_for_engines() if form_named(form).needs_gpu else ()
    if lacking:
        raise JobFailed(
            "MISSING_RUNTIME",
            f"{form} is built where a GPU of NVIDIA and TensorRT are, and this machine has "
            f"{' and '.join(lacking)}",
            "Order tensorrt-onnx and run its build.py where they are, or run a worker there.",
        )


def refuse_architecture(form: str, base: Path, pruning: Pruning | None = None) -> None:
    """Refuse, before any work, a base whose architecture the form cannot do.

    Raises:
        JobFailed: UNSUPPORTED_ARCHITECTURE, which names form and architecture, or NOT_PRUNABLE,
            which says what could be cut.
    """
    try:
        config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return  # the child says what is wrong with the folder
    reason = form_named(form).refusal(config)
    if reason:
        raise JobFailed(
            "UNSUPPORTED_ARCHITECTURE",
            reason,
            "Order another form, or serve the source itself: the transformers engine runs it.",
        )
    if pruning is not None:
        try:
            planned_shape(config, pruning)
        except NotPrunableError as error:
            raise JobFailed("NOT_PRUNABLE", str(error), "Order another share.") from error


def _name_of(target_form: str, source: ModelReady) -> str:
    """Name for people: the source's, which never means what was cut of it."""
    return f"{source.name}-{PRUNED}" if target_form == PRUNED else source.name


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
        name=_name_of(spec.target_form, source),
        form=manifest.form,
        digest=manifest.digest,
        parent_version_id=source.version_id,
        base_version_id=source.base_version_id or source.version_id,
        job_id=job.job_id,
        dataset_id=spec.dataset_id,
        size_bytes=manifest.size_bytes,
        context_tokens=context_tokens,
        metrics=figures,
        method=PRUNED if spec.target_form == PRUNED else "",
    )
    ready.created_at.GetCurrentTime()
    return ready
