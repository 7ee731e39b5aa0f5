"""Use case: run one dataset job, from source file to committed artifact."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelmill.data_prep.v1.data_prep_service_pb2 import DatasetSpec
from modelmill.registry.v1.model_events_pb2 import DatasetReady, FileState, ModelReady
from modelmill_bus.kinds import dataset_id_of
from modelmill_inference_client.inference_models import AskedModels
from modelmill_jobs.active import ActiveJob
from modelmill_jobs.errors import JobFailed
from modelmill_registry.store import ArtifactStore
from modelmill_service_kit.errors import InvalidInputError, NotFoundError

from modelmill_data_prep.create_dataset import source_file_ids, spec_fields
from modelmill_data_prep.domain.dataset_plan import DatasetPlan, plan_dataset
from modelmill_data_prep.metrics import count_rows
from modelmill_data_prep.model_requests import resolve_job_models
from modelmill_data_prep.pseudonym_keys import PseudonymKeys
from modelmill_data_prep.records import BaseTokens, FileRecords, file_format_of

CHILD = "modelmill_data_prep.child"


@dataclass(frozen=True)
class RayCluster:
    """Ray cluster that transforms rows instead of this machine."""

    address: str
    token_file: Path

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables for Ray's token authentication."""
        return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(self.token_file)}


class MakeDataset:
    """Runs dataset jobs. Idempotent: every attempt yields the same id and bytes.

    Args:
        max_row_bytes: A longer row is quarantined.
        processes: Worker processes of a job.
        ask_at_once: Concurrent model requests of a job.
        cluster: Ray cluster to use instead of local processes.
        models: None if no inference service is configured.
    """

    def __init__(
        self,
        files: FileRecords,
        store: ArtifactStore,
        pseudonym_keys: PseudonymKeys,
        base_tokens: BaseTokens,
        *,
        max_row_bytes: int,
        processes: int,
        ask_at_once: int = 8,
        cluster: RayCluster | None = None,
        models: AskedModels | None = None,
    ) -> None:
        self._models = models
        self._ask_at_once = ask_at_once
        self._files = files
        self._pseudonym_keys = pseudonym_keys
        self._base_tokens = base_tokens
        self._store = store
        self._max_row_bytes = max_row_bytes
        self._processes = processes
        self._cluster = cluster

    async def __call__(self, job: ActiveJob, spec: DatasetSpec) -> DatasetReady:
        """Make and commit the dataset; returns its announcement.

        Raises:
            JobFailed: A file or model was deleted, or the rows make no dataset.
            UnavailableError: The spec uses models, and inference is down.
        """
        files, base = await self._inputs(job.tenant, spec)
        asked = await resolve_job_models(self._models, job, _plan(spec))
        tokens = await self._base_tokens.located(base, spec.tokenize) if base else None
        folder = job.folder / "dataset"
        request = {
            "files": [await self._located(each) for each in files],
            "sources": len(source_file_ids(spec)),
            "spec": spec_fields(spec),
            "folder": str(folder),
            "max_row_bytes": self._max_row_bytes,
            "processes": self._processes,
            "ask_at_once": self._ask_at_once,
            "tokens": tokens,
            "ray_address": self._cluster.address if self._cluster else "",
            "pseudonym_key": self._pseudonym_keys.of(job.tenant).hex(),
        }
        env = self._cluster.environment if self._cluster else None
        try:
            made = await job.run_child(CHILD, request, on_question=asked, env=env)
        except JobFailed as failure:
            failure.report_digest = await asyncio.to_thread(self._keep_report, folder, files, spec)
            raise
        manifest = await asyncio.to_thread(
            self._store.commit,
            folder,
            kind="dataset",
            form="chat-jsonl",
            made_from=_origins(spec, files, base),
            attributes=_attributes(made, spec),
        )
        count_rows(made["counts"])
        return _announcement(job, spec, manifest.digest, made)

    def _keep_report(self, folder: Path, files: Sequence[FileState], spec: DatasetSpec) -> str:
        """Commit the report of a failed dataset; returns its digest, or "" without a report."""
        if not folder.is_dir():
            return ""
        manifest = self._store.commit(
            folder,
            kind="dataset-report",
            form="json-html",
            made_from=_sources(spec, files),
            attributes={"spec": spec_fields(spec)},
        )
        return manifest.digest

    async def _inputs(
        self, tenant: str, spec: DatasetSpec
    ) -> tuple[list[FileState], ModelReady | None]:
        """Source files, evaluation files, and the base model for token ids."""
        wanted = [*source_file_ids(spec), *spec.duplicates.evaluation_file_ids]
        try:
            files = [await self._files.get(tenant, each) for each in wanted]
        except NotFoundError as error:
            raise JobFailed("FILE_GONE", error.message, "Upload the file again.") from error
        try:
            return files, await self._base_tokens.base(tenant, spec.tokenize)
        except NotFoundError as error:
            raise JobFailed("BASE_GONE", error.message, "Choose another base model.") from error

    async def _located(self, file: FileState) -> dict[str, str]:
        path = str(await self._files.content(file))
        return {"path": path, "format": file_format_of(file), "name": file.filename}


def _plan(spec: DatasetSpec) -> DatasetPlan:
    try:
        return plan_dataset(spec_fields(spec))
    except InvalidInputError as error:
        # Accepted by a release with other rules.
        raise JobFailed(error.reason, error.message, "Correct the spec.") from error


def _origins(
    spec: DatasetSpec, files: Sequence[FileState], base: ModelReady | None
) -> dict[str, str]:
    others = files[len(source_file_ids(spec)) :]
    evaluation = {f"evaluation-{n}": file.digest for n, file in enumerate(others, start=1)}
    tokenizer = {} if base is None else {"tokenizer": base.digest}
    return {**_sources(spec, files), **evaluation, **tokenizer}


def _sources(spec: DatasetSpec, files: Sequence[FileState]) -> dict[str, str]:
    own = files[: len(source_file_ids(spec))]
    if len(own) == 1:
        return {"file": own[0].digest}
    return {f"file-{number}": file.digest for number, file in enumerate(own, start=1)}


def _attributes(made: Mapping[str, Any], spec: DatasetSpec) -> dict[str, Any]:
    fields = spec_fields(spec)
    attributes = {
        "counts": made["counts"],
        "mapping": fields["mapping"],
        "spec": fields,
        "merkle_root": made["merkle_root"],
    }
    if made["choices"] is not None:
        attributes["choices"] = made["choices"]
    if made["models"]:
        attributes["models"] = made["models"]
    return attributes


def _announcement(
    job: ActiveJob, spec: DatasetSpec, digest: str, made: Mapping[str, Any]
) -> DatasetReady:
    ready = DatasetReady(
        dataset_id=dataset_id_of(job.job_id),
        tenant=job.tenant,
        name=spec.name,
        digest=digest,
        file_id=spec.file_id,
        file_ids=spec.file_ids,
        job_id=job.job_id,
        counts=made["counts"],
        merkle_root=made["merkle_root"],
    )
    ready.created_at.GetCurrentTime()
    return ready
