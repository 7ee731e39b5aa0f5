"""Composition root of the trainer: gRPC API and worker for fine-tuning and evaluation jobs."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import httpx
from modelmill.jobs.v1.job_service_pb2_grpc import add_JobServiceServicer_to_server
from modelmill.trainer.v1.trainer_service_pb2_grpc import add_TrainerServiceServicer_to_server
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
from modelmill_service_kit.metrics import MetricsPage
from modelmill_service_kit.process import Ending, announce_ready, run_service

from modelmill_trainer.check_evaluation_spec import CheckEvaluationSpec
from modelmill_trainer.check_training_spec import CheckTrainingSpec, Teachers
from modelmill_trainer.checkpoint_retention import checkpoint_deleter
from modelmill_trainer.count_row_tokens import CountRowTokens
from modelmill_trainer.create_evaluation_job import CreateEvaluationJob
from modelmill_trainer.create_fine_tuning_job import CreateFineTuningJob
from modelmill_trainer.entrypoints.grpc import TrainerServicer
from modelmill_trainer.entrypoints.jobs import EvaluateHandler, TrainHandler
from modelmill_trainer.evaluate_model import EvaluateModel
from modelmill_trainer.generate_teacher_answers import GenerateTeacherAnswers
from modelmill_trainer.inherit_adapter_shape import InheritAdapterShape
from modelmill_trainer.list_evaluation_rows import ListEvaluationRows
from modelmill_trainer.list_step_figures import ListStepFigures
from modelmill_trainer.named_datasets import NamedDatasets
from modelmill_trainer.read_evaluation import ReadEvaluation
from modelmill_trainer.retire_model import RetireModel
from modelmill_trainer.settings import Settings
from modelmill_trainer.size_evaluation import SizeEvaluation
from modelmill_trainer.size_training import SizeTraining
from modelmill_trainer.stored_records import AliasReader, JobReader
from modelmill_trainer.stream_step_metrics import StreamStepMetrics
from modelmill_trainer.tracking.mlflow import Mlflow
from modelmill_trainer.tracking.tensorboard import TensorBoard
from modelmill_trainer.tracking.tracker import Tracker
from modelmill_trainer.tracking.wandb import WeightsAndBiases
from modelmill_trainer.train_model import TrainModel

SERVICE = "trainer"
CALLERS = ("gateway",)
"""Client certificate names that may call, if mTLS is configured."""


@dataclass(frozen=True)
class _Dependencies:
    """Dependencies that both roles share."""

    bus: Bus
    store: ArtifactStore
    models: ModelCatalogue
    datasets: DatasetCatalogue
    files: FileCatalogue
    jobs: JobReader
    unfinished: UnfinishedJobs
    """Used in role serve only."""
    capacity: ProcessCapacity
    inference_models: InferenceModels | None
    """None if no inference service is configured."""

    @classmethod
    def of(cls, settings: Settings, bus: Bus, asked: InferenceModels | None) -> "_Dependencies":
        models, datasets, files = ModelCatalogue(bus), DatasetCatalogue(bus), FileCatalogue(bus)
        store, jobs, unfinished = store_of(settings), JobReader(bus), UnfinishedJobs(bus)
        capacity = ProcessCapacity(settings.artifact_disk)
        return cls(bus, store, models, datasets, files, jobs, unfinished, capacity, asked)

    @property
    def followed(self) -> tuple[ReadModel, ...]:
        return self.models, self.datasets, self.files


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
        server = RpcServer.for_services(settings, identity, callers=CALLERS, ready=False)
        if settings.role != "work":
            add_TrainerServiceServicer_to_server(_servicer(settings, parts), server.grpc)
            control = JobServicer(ControlJob(bus, kinds_of(SERVICE)), parts.capacity)
            add_JobServiceServicer_to_server(control, server.grpc)

        await stack.enter_async_context(server)
        page = stack.enter_context(MetricsPage(settings.metrics_address, secret))
        async with asyncio.TaskGroup() as tasks:
            following = [tasks.create_task(each.run()) for each in parts.followed]
            if settings.role != "work":
                following.append(tasks.create_task(parts.unfinished.run()))
                following.append(tasks.create_task(_eraser(parts).run()))
            if await caught_up(parts.followed, stopping):
                await server.set_ready(True)
                if settings.role != "serve":
                    trackers = await stack.enter_async_context(trackers_of(settings))
                    tasks.create_task(_worker(settings, parts, trackers).run(stopping))
                announce_ready(grpc=server.port, metrics=page.port)
            await stopping.wait()
            await server.give_notice(Ending.of(stopping, settings))
            for task in following:
                task.cancel()


def _eraser(parts: _Dependencies) -> TenantEraser:
    retire = RetireModel(parts.bus, parts.models, AliasReader(parts.bus), parts.unfinished)
    return TenantEraser(parts.bus, SERVICE, artifacts=parts.store, before=retire.retire_all)


def _servicer(settings: Settings, parts: _Dependencies) -> TrainerServicer:
    queue, aliases = JobQueue(parts.bus), AliasReader(parts.bus)
    check_evaluation = CheckEvaluationSpec(
        parts.models,
        aliases,
        parts.datasets,
        parts.files,
        can_ask=parts.inference_models is not None,
    )
    return TrainerServicer(
        CreateFineTuningJob(_check(settings, parts, are_ordered=True), queue),
        SizeTraining(
            _check(settings, parts, are_ordered=False),
            CountRowTokens(parts.store),
            settings.worker_size,
        ),
        ListStepFigures(parts.jobs, parts.store),
        StreamStepMetrics(parts.jobs, parts.store),
        RetireModel(parts.bus, parts.models, aliases, parts.unfinished),
        CreateEvaluationJob(check_evaluation, queue),
        SizeEvaluation(check_evaluation, settings.worker_size),
        ReadEvaluation(parts.jobs, parts.store),
        ListEvaluationRows(parts.jobs, parts.store),
    )


def _check(settings: Settings, parts: _Dependencies, *, are_ordered: bool) -> CheckTrainingSpec:
    return CheckTrainingSpec(
        parts.models,
        NamedDatasets(parts.datasets, parts.jobs, are_ordered=are_ordered),
        settings.price,
        InheritAdapterShape(parts.models, parts.store),
        Teachers(parts.store),
        machine=settings.worker_size,
        on_cluster=settings.launcher == "kubernetes",
        can_ask=parts.inference_models is not None,
    )


def _worker(settings: Settings, parts: _Dependencies, trackers: Sequence[Tracker]) -> Worker:
    train_model = TrainModel(
        parts.models,
        parts.datasets,
        parts.jobs,
        parts.store,
        threads=settings.threads,
        price=settings.price,
        seconds_between_interruptions=settings.seconds_between_interruptions,
        cluster=settings.cluster(),
        trackers=trackers,
        generate_teacher_answers=GenerateTeacherAnswers(
            parts.store, parts.inference_models, at_once=settings.inference_at_once
        ),
    )
    evaluate_model = EvaluateModel(
        parts.datasets,
        parts.files,
        parts.store,
        parts.inference_models,
        at_once=settings.inference_at_once,
    )
    worker = Worker(
        parts.bus,
        [TrainHandler(train_model), EvaluateHandler(evaluate_model)],
        service=SERVICE,
        work_root=settings.work_root / "jobs",
        slots=settings.worker_slots,
        short=ShortJobs(settings.worker_short_slots, settings.short_job_seconds),
        size=settings.worker_size,
        jobs_per_tenant=settings.jobs_per_tenant,
        claim_seconds=settings.claim_seconds,
        after_success=checkpoint_deleter(parts.store),
    )
    parts.capacity.worker = worker
    return worker


@asynccontextmanager
async def trackers_of(settings: Settings) -> AsyncIterator[list[Tracker]]:
    """Trackers for use within the block; none is contacted before a job runs."""
    trackers: list[Tracker] = []
    async with AsyncExitStack() as stack:
        if settings.mlflow_url:
            token = settings.mlflow_token.get_secret_value()
            client = httpx.AsyncClient(
                base_url=settings.mlflow_url,
                headers={"authorization": f"Bearer {token}"} if token else {},
            )
            await stack.enter_async_context(client)
            trackers.append(Mlflow(client, settings.mlflow_experiment))
        if settings.tensorboard_folder is not None:
            trackers.append(TensorBoard(settings.tensorboard_folder))
        if settings.wandb_project and settings.wandb_folder is not None:
            trackers.append(
                WeightsAndBiases(
                    settings.wandb_project,
                    settings.wandb_folder,
                    api_key=settings.wandb_api_key.get_secret_value(),
                    base_url=settings.wandb_url,
                )
            )
        yield trackers


def main() -> None:
    run_service(SERVICE, Settings, serve)


if __name__ == "__main__":
    main()
