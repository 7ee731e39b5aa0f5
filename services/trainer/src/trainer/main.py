"""Trainer: accepts fine-tuning jobs over gRPC, and trains in jobs."""

import asyncio
from contextlib import AsyncExitStack

from jobs.bus import Bus
from jobs.control import ControlJob
from jobs.control_servicer import JobServicer
from jobs.kinds import TRAIN
from jobs.submit import JobQueue
from jobs.worker import Worker
from modelmill.jobs.v1.job_service_pb2_grpc import add_JobServiceServicer_to_server
from modelmill.trainer.v1.trainer_service_pb2_grpc import add_TrainerServiceServicer_to_server
from registry.artifact_store import ArtifactStore
from registry.catalogue import DatasetCatalogue, ModelCatalogue
from registry.stores import store_of
from service_kit.grpc_server import RpcServer
from service_kit.metrics import MetricsPage
from service_kit.process import announce_ready, run_service

from trainer.adapters.job_records import JobRecords
from trainer.adapters.model_records import AliasRecords, ModelRecords
from trainer.create_fine_tuning_job import CreateFineTuningJob
from trainer.entrypoints.grpc import TrainerServicer
from trainer.entrypoints.jobs import TrainHandler
from trainer.list_step_figures import ListStepFigures
from trainer.retire_model import RetireModel
from trainer.settings import Settings
from trainer.train_model import TrainModel

SERVICE = "trainer"
CALLERS = ("gateway",)
"""Names in the certificates of those who may call, where certificates are used."""


async def serve(settings: Settings, stopping: asyncio.Event) -> None:
    """Answer and work, as the role says, until `stopping`; then finish what is in hand."""
    secret = settings.service_secret.get_secret_value()
    identity = settings.mutual_tls()
    async with AsyncExitStack() as stack:
        bus = await stack.enter_async_context(Bus.of(settings, name=SERVICE))
        models, datasets, jobs = ModelCatalogue(bus), DatasetCatalogue(bus), JobRecords(bus)
        store = store_of(settings)
        train_model = _train_model(settings, models, datasets, jobs, store)

        server = RpcServer.for_services(settings, identity, callers=CALLERS)
        if settings.role != "work":
            create = CreateFineTuningJob(
                *(models, datasets, jobs, JobQueue(bus), settings.price),
                machine=settings.worker_size,
            )
            figures = ListStepFigures(jobs, store)
            retire = RetireModel(ModelRecords(bus, models), AliasRecords(bus))
            add_TrainerServiceServicer_to_server(
                TrainerServicer(create, figures, retire), server.grpc
            )
            add_JobServiceServicer_to_server(JobServicer(ControlJob(bus, [TRAIN])), server.grpc)

        await stack.enter_async_context(server)
        await server.set_ready(False)
        page = stack.enter_context(MetricsPage(settings.metrics_address, secret))
        async with asyncio.TaskGroup() as tasks:
            following = [tasks.create_task(models.run()), tasks.create_task(datasets.run())]
            # An id that is only not read yet must not be answered with "not found".
            await models.ready.wait()
            await datasets.ready.wait()
            await server.set_ready(True)
            if settings.role != "serve":
                tasks.create_task(_worker(settings, bus, train_model).run(stopping))
            announce_ready(grpc=server.port, metrics=page.port)
            await stopping.wait()
            for task in following:
                task.cancel()


def _train_model(
    settings: Settings,
    models: ModelCatalogue,
    datasets: DatasetCatalogue,
    jobs: JobRecords,
    store: ArtifactStore,
) -> TrainModel:
    return TrainModel(
        *(models, datasets, jobs, store),
        threads=settings.threads,
        price=settings.price,
        seconds_between_interruptions=settings.seconds_between_interruptions,
    )


def _worker(settings: Settings, bus: Bus, train_model: TrainModel) -> Worker:
    return Worker(
        bus,
        [TrainHandler(train_model)],
        service=SERVICE,
        work_root=settings.work_root / "jobs",
        slots=settings.worker_slots,
        size=settings.worker_size,
        jobs_per_tenant=settings.jobs_per_tenant,
        claim_seconds=settings.claim_seconds,
    )


def main() -> None:
    run_service(SERVICE, Settings, serve)


if __name__ == "__main__":
    main()
