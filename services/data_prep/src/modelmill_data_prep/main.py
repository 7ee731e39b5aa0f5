"""Composition root of data-prep: gRPC API for files, worker for dataset jobs."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass

from modelmill.data_prep.v1.data_prep_service_pb2_grpc import (
    add_DataPrepServiceServicer_to_server,
)
from modelmill.jobs.v1.job_service_pb2_grpc import add_JobServiceServicer_to_server
from modelmill_bus.bus import Bus
from modelmill_bus.kinds import DATASET
from modelmill_bus.read_model import ReadModel
from modelmill_inference_client.inference_models import InferenceModels
from modelmill_inference_client.open_models import models_at
from modelmill_job_index.unfinished import UnfinishedJobs
from modelmill_jobs.control import ControlJob, JobServicer
from modelmill_jobs.short_slots import ShortJobs
from modelmill_jobs.submit import JobQueue
from modelmill_jobs.worker import Worker
from modelmill_registry.artifact_store import ArtifactStore
from modelmill_registry.catalogue import DatasetCatalogue, FileCatalogue, ModelCatalogue
from modelmill_registry.stores import store_of
from modelmill_service_kit.grpc_server import RpcServer
from modelmill_service_kit.machine_size import this_machine
from modelmill_service_kit.metrics import MetricsPage
from modelmill_service_kit.process import announce_ready, run_service

from modelmill_data_prep.adapters.file_inspector import FileInspector
from modelmill_data_prep.adapters.file_spool import FileSpool
from modelmill_data_prep.adapters.records import (
    DatasetRecords,
    FileRecords,
    JobRecords,
    ModelRecords,
)
from modelmill_data_prep.adapters.upload_folder import UploadFolder
from modelmill_data_prep.base_tokens import BaseTokens
from modelmill_data_prep.complete_upload import CompleteUpload
from modelmill_data_prep.create_dataset import CreateDataset
from modelmill_data_prep.dataset_folders import DatasetFolders
from modelmill_data_prep.delete_dataset import DeleteDataset, DeleteFile
from modelmill_data_prep.diff_datasets import DiffDatasets
from modelmill_data_prep.entrypoints.grpc import DataPrepServicer, ProvenanceUseCases
from modelmill_data_prep.entrypoints.jobs import DatasetHandler
from modelmill_data_prep.entrypoints.upload_rpcs import UploadUseCases
from modelmill_data_prep.explain_row import ExplainRow
from modelmill_data_prep.make_dataset import MakeDataset, RayCluster
from modelmill_data_prep.model_requests import MODELS_UNAVAILABLE
from modelmill_data_prep.preview_dataset import PreviewDataset
from modelmill_data_prep.pseudonym_keys import PseudonymKeys
from modelmill_data_prep.read_file import ReadFile
from modelmill_data_prep.read_report import ReadReport
from modelmill_data_prep.receive_upload import AddUploadPart, CancelUpload, CreateUpload
from modelmill_data_prep.settings import Settings
from modelmill_data_prep.store_file import StoreFile

SERVICE = "data-prep"
CALLERS = ("gateway",)
"""Client certificate names that may call, if mTLS is configured."""


@dataclass(frozen=True)
class _Dependencies:
    """Dependencies that both roles share."""

    bus: Bus
    store: ArtifactStore
    files: FileCatalogue
    datasets: DatasetCatalogue
    models: ModelCatalogue
    unfinished: UnfinishedJobs
    """Used in role serve only."""
    records: FileRecords
    read_file: ReadFile
    pseudonym_keys: PseudonymKeys
    inference_models: InferenceModels | None
    """None if no inference service is configured."""

    @classmethod
    def of(cls, settings: Settings, bus: Bus, asked: InferenceModels | None) -> "_Dependencies":
        store = store_of(settings)
        files, datasets, models = FileCatalogue(bus), DatasetCatalogue(bus), ModelCatalogue(bus)
        records = FileRecords(bus, files)
        keys = PseudonymKeys(settings.service_secret.get_secret_value())
        read_file = ReadFile(store, records)
        unfinished = UnfinishedJobs(bus)
        return cls(bus, store, files, datasets, models, unfinished, records, read_file, keys, asked)

    @property
    def followed(self) -> tuple[ReadModel, ...]:
        return self.files, self.datasets, self.models

    @property
    def base_tokens(self) -> BaseTokens:
        return BaseTokens(ModelRecords(self.models), self.store)


async def serve(settings: Settings, stopping: asyncio.Event) -> None:
    """Serve gRPC and work on jobs, according to the role, until `stopping`; then drain."""
    secret = settings.service_secret.get_secret_value()
    identity = settings.mutual_tls()
    async with AsyncExitStack() as stack:
        bus = await stack.enter_async_context(Bus.of(settings, name=SERVICE))
        asked = await stack.enter_async_context(
            models_at(settings.inference_address, secret, identity)
        )
        parts = _Dependencies.of(settings, bus, asked)
        server = RpcServer.for_services(settings, identity, callers=CALLERS)
        if settings.role != "work":
            servicer = await _servicer(settings, parts, stack)
            add_DataPrepServiceServicer_to_server(servicer, server.grpc)
            control = JobServicer(ControlJob(parts.bus, [DATASET]))
            add_JobServiceServicer_to_server(control, server.grpc)

        await stack.enter_async_context(server)
        page = stack.enter_context(MetricsPage(settings.metrics_address, secret))
        async with asyncio.TaskGroup() as tasks:
            following = [tasks.create_task(each.run()) for each in parts.followed]
            if settings.role != "work":
                following.append(tasks.create_task(parts.unfinished.run()))
            if settings.role != "serve":
                tasks.create_task(_worker(settings, parts).run(stopping))
            announce_ready(grpc=server.port, metrics=page.port)
            await stopping.wait()
            for task in following:
                task.cancel()


async def _servicer(
    settings: Settings, parts: _Dependencies, stack: AsyncExitStack
) -> DataPrepServicer:
    """The gRPC servicer; its child processes end with `stack`."""
    max_row_bytes, read_file = settings.max_row_bytes, parts.read_file
    records = DatasetRecords(parts.bus, parts.datasets)
    folders = DatasetFolders(records, parts.store)
    inspector = await stack.enter_async_context(FileInspector(settings.work_root / "looks"))
    # A second child, so that comparing large datasets does not block uploads and previews.
    provenance_inspector = await stack.enter_async_context(
        FileInspector(settings.work_root / "stories")
    )
    models_unavailable = "" if parts.inference_models else MODELS_UNAVAILABLE
    read_report = ReadReport(folders, parts.store, JobRecords(parts.bus))
    store_file = _store_file(settings, inspector, parts.store, parts.records)
    return DataPrepServicer(
        store_file,
        read_file,
        DeleteFile(parts.records, parts.unfinished),
        CreateDataset(
            *(read_file, inspector, parts.base_tokens, JobQueue(parts.bus)),
            max_row_bytes=max_row_bytes,
            models_unavailable=models_unavailable,
            processes=_processes_beside(settings),
        ),
        DeleteDataset(records, parts.unfinished),
        _uploads(settings, store_file, parts.records),
        PreviewDataset(
            *(read_file, inspector, parts.pseudonym_keys),
            max_row_bytes=max_row_bytes,
            models_unavailable=models_unavailable,
        ),
        ProvenanceUseCases(
            ExplainRow(folders, provenance_inspector),
            DiffDatasets(folders, provenance_inspector),
            read_report,
        ),
    )


def _store_file(
    settings: Settings, inspector: FileInspector, store: ArtifactStore, records: FileRecords
) -> StoreFile:
    return StoreFile(
        FileSpool(settings.work_root / "uploads"),
        inspector,
        store,
        records,
        max_bytes=settings.max_upload_bytes,
        max_uploads=settings.max_uploads,
    )


def _uploads(settings: Settings, store_file: StoreFile, records: FileRecords) -> UploadUseCases:
    uploads = UploadFolder(settings.work_root / "uploads_in_parts")
    return UploadUseCases(
        CreateUpload(
            uploads, max_bytes=settings.max_upload_bytes, max_open=settings.max_open_uploads
        ),
        AddUploadPart(uploads, max_parts_at_once=settings.max_uploads),
        CompleteUpload(uploads, store_file, records),
        CancelUpload(uploads),
    )


def _worker(settings: Settings, parts: _Dependencies) -> Worker:
    make_dataset = MakeDataset(
        *(parts.read_file, parts.store, parts.pseudonym_keys, parts.base_tokens),
        max_row_bytes=settings.max_row_bytes,
        processes=_processes(settings),
        ask_at_once=settings.inference_at_once,
        cluster=_cluster(settings),
        models=parts.inference_models,
    )
    return Worker(
        parts.bus,
        [DatasetHandler(make_dataset)],
        service=SERVICE,
        work_root=settings.work_root / "jobs",
        slots=settings.worker_slots,
        short=ShortJobs(settings.worker_short_slots, settings.short_job_seconds),
        size=settings.worker_size,
        jobs_per_tenant=settings.jobs_per_tenant,
        claim_seconds=settings.claim_seconds,
    )


def _processes(settings: Settings) -> int:
    """Processes that transform rows; 1 means the job's child itself."""
    return settings.processes or max(int(this_machine().cpus), 1)


def _processes_beside(settings: Settings) -> int:
    """Worker processes of a job on this machine, beside its child."""
    processes = _processes(settings)
    return 0 if settings.ray_address or processes == 1 else processes


def _cluster(settings: Settings) -> RayCluster | None:
    if not settings.ray_address or settings.ray_token_file is None:
        return None
    return RayCluster(settings.ray_address, settings.ray_token_file.resolve())


def main() -> None:
    run_service(SERVICE, Settings, serve)


if __name__ == "__main__":
    main()
