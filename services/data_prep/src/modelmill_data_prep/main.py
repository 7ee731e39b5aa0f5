"""Composition root of data-prep: gRPC API for files, worker for dataset jobs."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass

from modelmill.data_prep.v1.data_prep_service_pb2_grpc import (
    add_DataPrepServiceServicer_to_server,
)
from modelmill.jobs.v1.job_service_pb2_grpc import add_JobServiceServicer_to_server
from modelmill_bus.bus import Bus
from modelmill_bus.kinds import kinds_of
from modelmill_bus.read_model import ReadModel, caught_up
from modelmill_bus.tenant_eraser import TenantEraser
from modelmill_inference_client.inference_models import InferenceModels
from modelmill_inference_client.open_models import models_at
from modelmill_job_index.unfinished import UnfinishedJobs
from modelmill_jobs.control import ControlJob, JobServicer
from modelmill_jobs.process_capacity import ProcessCapacity
from modelmill_jobs.submit import JobQueue
from modelmill_jobs.waiting import ShortJobs
from modelmill_jobs.worker import Worker
from modelmill_registry.artifact_store import ArtifactStore
from modelmill_registry.catalogue import DatasetCatalogue, FileCatalogue, ModelCatalogue
from modelmill_registry.store import store_of
from modelmill_service_kit.grpc_server import RpcServer
from modelmill_service_kit.machine_size import this_machine
from modelmill_service_kit.metrics import MetricsPage
from modelmill_service_kit.process import Ending, announce_ready, run_service

from modelmill_data_prep.adapters.installed_pipelines import check_models
from modelmill_data_prep.compare_datasets import (
    CompareDatasets,
    DiffDatasets,
    FindPair,
    ListUnsharedRows,
)
from modelmill_data_prep.comparison_folder import STORED, ComparisonFolder
from modelmill_data_prep.create_dataset import CreateDataset
from modelmill_data_prep.delete_dataset import DeleteDataset, DeleteFile
from modelmill_data_prep.entrypoints.grpc import DataPrepServicer, DataPrepUseCases
from modelmill_data_prep.entrypoints.jobs import DatasetHandler
from modelmill_data_prep.erase_deleted import EraseDeleted
from modelmill_data_prep.expire_files import ExpireFiles
from modelmill_data_prep.file_inspector import FileInspector
from modelmill_data_prep.make_dataset import MakeDataset, RayCluster
from modelmill_data_prep.model_requests import MODELS_UNAVAILABLE
from modelmill_data_prep.preview_dataset import PreviewDataset
from modelmill_data_prep.pseudonym_keys import PseudonymKeys
from modelmill_data_prep.read_dataset import ExplainRow, ReadReport
from modelmill_data_prep.receive_upload import (
    AddUploadPart,
    CancelUpload,
    CompleteUpload,
    CreateUpload,
)
from modelmill_data_prep.records import BaseTokens, DatasetRecords, FileRecords
from modelmill_data_prep.settings import Settings
from modelmill_data_prep.store_file import StoreFile
from modelmill_data_prep.uploads import UploadFolder

SERVICE = "data-prep"
UPLOADS = "uploads_in_parts"
COMPARISONS = "comparisons"
COMPARISON_SECONDS = 300.0
"""Timeout of a comparison of two datasets."""
CALLERS = ("gateway",)
"""Client certificate names that may call, if mTLS is configured."""


@dataclass(frozen=True)
class _Dependencies:
    """Dependencies that both roles share."""

    bus: Bus
    store: ArtifactStore
    followed: tuple[ReadModel, ...]
    file_catalogue: FileCatalogue
    files: FileRecords
    datasets: DatasetRecords
    base_tokens: BaseTokens
    pseudonym_keys: PseudonymKeys
    capacity: ProcessCapacity
    inference_models: InferenceModels | None
    """None if no inference service is configured."""

    @classmethod
    def of(cls, settings: Settings, bus: Bus, asked: InferenceModels | None) -> "_Dependencies":
        store = store_of(settings)
        files, datasets, models = FileCatalogue(bus), DatasetCatalogue(bus), ModelCatalogue(bus)
        return cls(
            bus=bus,
            store=store,
            followed=(files, datasets, models),
            file_catalogue=files,
            files=FileRecords(bus, files, store),
            datasets=DatasetRecords(bus, datasets, store),
            base_tokens=BaseTokens(models, store),
            pseudonym_keys=PseudonymKeys(settings.service_secret.get_secret_value()),
            capacity=ProcessCapacity(settings.artifact_disk),
            inference_models=asked,
        )


async def serve(settings: Settings, stopping: asyncio.Event) -> None:
    """Serve gRPC and work on jobs, according to the role, until `stopping`; then drain."""
    secret = settings.service_secret.get_secret_value()
    identity = settings.mutual_tls()
    async with AsyncExitStack() as stack:
        bus = await stack.enter_async_context(Bus.of(settings, name=SERVICE))
        models = models_at(settings.inference_address, secret, identity)
        asked = await stack.enter_async_context(models)
        parts, unfinished = _Dependencies.of(settings, bus, asked), UnfinishedJobs(bus)
        server = RpcServer.for_services(settings, identity, callers=CALLERS, ready=False)
        if settings.role != "work":
            servicer = await _servicer(settings, parts, unfinished, stack)
            add_DataPrepServiceServicer_to_server(servicer, server.grpc)
            control = JobServicer(ControlJob(bus, kinds_of(SERVICE)), parts.capacity)
            add_JobServiceServicer_to_server(control, server.grpc)

        await stack.enter_async_context(server)
        page = stack.enter_context(MetricsPage(settings.metrics_address, secret))
        async with asyncio.TaskGroup() as tasks:
            following = [tasks.create_task(each.run()) for each in parts.followed]
            if settings.role != "work":
                expire = ExpireFiles(parts.file_catalogue, DeleteFile(parts.files, unfinished))
                erasers = _eraser(settings, parts), EraseDeleted(bus, parts.store), expire
                following += [tasks.create_task(each.run()) for each in (unfinished, *erasers)]
            if settings.role != "serve":
                tasks.create_task(_worker(settings, parts).run(stopping))
            if await caught_up(parts.followed, stopping):
                await server.set_ready(True)
                announce_ready(grpc=server.port, metrics=page.port)
            await stopping.wait()
            await server.give_notice(Ending.of(stopping, settings))
            for task in following:
                task.cancel()


def _eraser(settings: Settings, parts: _Dependencies) -> TenantEraser:
    uploads = UploadFolder(settings.work_root / UPLOADS)
    comparisons = ComparisonFolder(settings.work_root / COMPARISONS / STORED)
    return TenantEraser(parts.bus, SERVICE, artifacts=parts.store, local=(uploads, comparisons))


async def _servicer(
    settings: Settings, parts: _Dependencies, unfinished: UnfinishedJobs, stack: AsyncExitStack
) -> DataPrepServicer:
    """The gRPC servicer; its child processes end with `stack`."""
    work = settings.work_root
    inspector = await stack.enter_async_context(FileInspector(work / "inspector"))
    # A second child, so that reading provenance does not block uploads and previews.
    reader = await stack.enter_async_context(FileInspector(work / "provenance_inspector"))
    compare, diff, list_unshared = await _comparing(settings, parts, stack)
    store_file = StoreFile(
        work / "uploads",
        inspector,
        parts.store,
        parts.files,
        max_bytes=settings.max_upload_bytes,
        max_uploads=settings.max_uploads,
    )
    create_dataset, preview_dataset = _spec_use_cases(settings, parts, inspector)
    uploads = UploadFolder(work / UPLOADS)
    use_cases = DataPrepUseCases(
        files=parts.files,
        store_file=store_file,
        delete_file=DeleteFile(parts.files, unfinished),
        create_upload=CreateUpload(
            uploads, max_bytes=settings.max_upload_bytes, max_open=settings.max_open_uploads
        ),
        add_upload_part=AddUploadPart(uploads, max_parts_at_once=settings.max_uploads),
        complete_upload=CompleteUpload(uploads, store_file, parts.files),
        cancel_upload=CancelUpload(uploads),
        create_dataset=create_dataset,
        preview_dataset=preview_dataset,
        delete_dataset=DeleteDataset(parts.datasets, unfinished),
        explain_row=ExplainRow(parts.datasets, reader),
        diff_datasets=diff,
        compare_datasets=compare,
        list_unshared_rows=list_unshared,
        read_report=ReadReport(parts.datasets, parts.store, parts.bus),
    )
    return DataPrepServicer(use_cases)


async def _comparing(
    settings: Settings, parts: _Dependencies, stack: AsyncExitStack
) -> tuple[CompareDatasets, DiffDatasets, ListUnsharedRows]:
    """Comparisons, which run in a child of their own: large datasets take long."""
    folder = settings.work_root / COMPARISONS
    comparer = await stack.enter_async_context(
        FileInspector(folder, seconds=COMPARISON_SECONDS, what="dataset")
    )
    find_pair = FindPair(parts.datasets)
    return (
        CompareDatasets(find_pair, comparer),
        DiffDatasets(find_pair, comparer),
        ListUnsharedRows(find_pair, comparer),
    )


def _spec_use_cases(
    settings: Settings, parts: _Dependencies, inspector: FileInspector
) -> tuple[CreateDataset, PreviewDataset]:
    models_unavailable = "" if parts.inference_models else MODELS_UNAVAILABLE
    create_dataset = CreateDataset(
        parts.files,
        inspector,
        parts.base_tokens,
        JobQueue(parts.bus),
        max_row_bytes=settings.max_row_bytes,
        models_unavailable=models_unavailable,
        processes=_processes_beside(settings),
        # Those of a cluster are on other machines.
        check_pipelines=None if settings.ray_address else check_models,
    )
    preview_dataset = PreviewDataset(
        parts.files,
        inspector,
        parts.pseudonym_keys,
        max_row_bytes=settings.max_row_bytes,
        models_unavailable=models_unavailable,
    )
    return create_dataset, preview_dataset


def _worker(settings: Settings, parts: _Dependencies) -> Worker:
    make_dataset = MakeDataset(
        parts.files,
        parts.store,
        parts.pseudonym_keys,
        parts.base_tokens,
        max_row_bytes=settings.max_row_bytes,
        processes=_processes(settings),
        ask_at_once=settings.inference_at_once,
        cluster=_cluster(settings),
        models=parts.inference_models,
    )
    worker = Worker(
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
    parts.capacity.worker = worker
    return worker


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
