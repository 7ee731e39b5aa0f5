"""Process entry point of optimizer-builder."""

import asyncio
from contextlib import AsyncExitStack
from functools import partial

from modelmill.jobs.v1.job_service_pb2_grpc import add_JobServiceServicer_to_server
from modelmill.optimizer_builder.v1.optimizer_builder_service_pb2_grpc import (
    add_OptimizerBuilderServiceServicer_to_server,
)
from modelmill_bus.bus import Bus
from modelmill_bus.kinds import kinds_of
from modelmill_bus.read_model import caught_up
from modelmill_jobs.control import ControlJob, JobServicer
from modelmill_jobs.process_capacity import ProcessCapacity
from modelmill_jobs.submit import JobQueue
from modelmill_jobs.worker import Worker
from modelmill_registry.catalogue import DatasetCatalogue, ModelCatalogue
from modelmill_registry.store import store_of
from modelmill_service_kit.grpc_server import RpcServer
from modelmill_service_kit.metrics import MetricsPage
from modelmill_service_kit.process import Ending, announce_ready, run_service

from modelmill_optimizer_builder.adapters.job_workshop import JobWorkshop
from modelmill_optimizer_builder.adapters.weight_headers import count_weights
from modelmill_optimizer_builder.build_model import BuildModel
from modelmill_optimizer_builder.check_build_spec import CheckBuildSpec
from modelmill_optimizer_builder.create_build import CreateBuild
from modelmill_optimizer_builder.entrypoints.bus import follow_models
from modelmill_optimizer_builder.entrypoints.grpc import OptimizerBuilderServicer
from modelmill_optimizer_builder.entrypoints.jobs import BuildHandler
from modelmill_optimizer_builder.optimize_model import OptimizeModel
from modelmill_optimizer_builder.order_default_build import OrderDefaultBuild
from modelmill_optimizer_builder.read_earlier import ReadEarlier
from modelmill_optimizer_builder.settings import Settings
from modelmill_optimizer_builder.tensorrt.build import missing_for_engines

SERVICE = "optimizer-builder"
CALLERS = ("gateway",)
"""Services that may call, by the name in their certificate, if mutual TLS is on."""


async def serve(settings: Settings, stopping: asyncio.Event) -> None:
    """Serve RPCs and run jobs, as the role says, until `stopping`; then drain."""
    secret = settings.service_secret.get_secret_value()
    identity = settings.mutual_tls()
    async with AsyncExitStack() as stack:
        bus = await stack.enter_async_context(Bus.of(settings, name=SERVICE))
        models, datasets = ModelCatalogue(bus), DatasetCatalogue(bus)
        queue, capacity = JobQueue(bus), ProcessCapacity(settings.artifact_disk)

        server = RpcServer.for_services(settings, identity, callers=CALLERS, ready=False)
        if settings.role != "work":
            has_price = settings.machine_price_per_hour is not None
            check = CheckBuildSpec(models, datasets, has_price=has_price)
            servicer = OptimizerBuilderServicer(
                CreateBuild(check, queue), check, settings.worker_size
            )
            add_OptimizerBuilderServiceServicer_to_server(servicer, server.grpc)
            control = JobServicer(ControlJob(bus, kinds_of(SERVICE)), capacity)
            add_JobServiceServicer_to_server(control, server.grpc)
        await stack.enter_async_context(server)
        page = stack.enter_context(MetricsPage(settings.metrics_address, secret))
        async with asyncio.TaskGroup() as tasks:
            following = [tasks.create_task(model.run()) for model in (models, datasets)]
            if settings.role != "work":
                tasks.create_task(follow_models(bus, OrderDefaultBuild(queue), stopping))
            if settings.role != "serve":
                worker = _worker(settings, bus, _handler(settings, models, datasets))
                capacity.worker = worker
                tasks.create_task(worker.run(stopping))
            if await caught_up((models, datasets), stopping):
                await server.set_ready(True)
                announce_ready(grpc=server.port, metrics=page.port)
            await stopping.wait()
            await server.give_notice(Ending.of(stopping, settings))
            for task in following:
                task.cancel()


def _worker(settings: Settings, bus: Bus, handler: BuildHandler) -> Worker:
    return Worker(
        bus,
        [handler],
        service=SERVICE,
        work_root=settings.work_root / "jobs",
        slots=settings.worker_slots,
        size=settings.worker_size,
        jobs_per_tenant=settings.jobs_per_tenant,
        claim_seconds=settings.claim_seconds,
    )


def _handler(
    settings: Settings, models: ModelCatalogue, datasets: DatasetCatalogue
) -> BuildHandler:
    store = store_of(settings)
    build_model = BuildModel(models, datasets, store, missing_for_engines)
    optimize_model = OptimizeModel(
        build_model,
        ReadEarlier(models, store),
        store,
        new_workshop=partial(JobWorkshop, build_model),
        count_weights=count_weights,
        machine=settings.worker_size,
        price_per_hour=settings.machine_price_per_hour,
    )
    return BuildHandler(build_model, optimize_model)


def main() -> None:
    run_service(SERVICE, Settings, serve)


if __name__ == "__main__":
    main()
