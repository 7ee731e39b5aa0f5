"""The services that the gateway calls, one long-lived channel each."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from grpc.aio import Channel
from modelmill.data_prep.v1.data_prep_service_pb2 import CreateDatasetRequest, DatasetSpec
from modelmill.data_prep.v1.data_prep_service_pb2_grpc import DataPrepServiceStub
from modelmill.optimizer_builder.v1.optimizer_builder_service_pb2 import (
    BuildSpec,
    CreateBuildRequest,
)
from modelmill.optimizer_builder.v1.optimizer_builder_service_pb2_grpc import (
    OptimizerBuilderServiceStub,
)
from modelmill.trainer.v1.evaluation_pb2 import CreateEvaluationJobRequest, EvaluationSpec
from modelmill.trainer.v1.trainer_service_pb2 import CreateFineTuningJobRequest, TrainSpec
from modelmill.trainer.v1.trainer_service_pb2_grpc import TrainerServiceStub
from modelmill_bus.kinds import DATASET, EVALUATE, OPTIMIZE, TRAIN
from modelmill_service_kit.grpc_client import open_channel
from modelmill_service_kit.mutual_tls import MutualTls

from modelmill_gateway.adapters import data_prep as data_prep_adapter
from modelmill_gateway.adapters import trainer as trainer_adapter
from modelmill_gateway.adapters.data_prep import GrpcDataPrep
from modelmill_gateway.adapters.fleet import Fleet
from modelmill_gateway.adapters.inference import GrpcEngines
from modelmill_gateway.adapters.job_owner import GrpcJobOwner, GrpcOrders
from modelmill_gateway.adapters.moderation import GrpcModeration, GrpcPolicies
from modelmill_gateway.adapters.trainer import GrpcTrainer
from modelmill_gateway.metrics import INFERENCE_LEFT_ALONE

OPTIMIZER_BUILDER = "the optimizer-builder"


@dataclass(frozen=True)
class Orders:
    """Who takes them, by the kind of job."""

    datasets: GrpcOrders[DatasetSpec]
    training: GrpcOrders[TrainSpec]
    evaluations: GrpcOrders[EvaluationSpec]
    builds: GrpcOrders[BuildSpec]


@dataclass(frozen=True)
class Peers:
    """Connected on first use."""

    engines: Fleet
    moderation: GrpcModeration
    policies: GrpcPolicies
    data_prep: GrpcDataPrep
    trainer: GrpcTrainer
    orders: Orders
    job_owners: Mapping[str, GrpcJobOwner]
    """By the kind of job that they own."""


@asynccontextmanager
async def open_peers(
    *,
    inference: Sequence[str],
    moderation: str,
    data_prep: str,
    trainer: str,
    optimizer_builder: str,
    secret: str,
    identity: MutualTls | None,
) -> AsyncIterator[Peers]:
    """Channels to the given addresses, closed when the block ends; `identity` proves who calls."""
    addresses = {
        "moderation": moderation,
        "data-prep": data_prep,
        "trainer": trainer,
        "optimizer-builder": optimizer_builder,
    }
    async with AsyncExitStack() as stack:

        async def opened(name: str, address: str) -> Channel:
            channel = open_channel(address, secret, identity=identity, peer=name)
            return await stack.enter_async_context(channel)

        to_inference = [await opened("inference", address) for address in inference]
        to_moderation, to_data_prep, to_trainer, to_optimizer = [
            await opened(name, address) for name, address in addresses.items()
        ]
        yield Peers(
            engines=_watched_fleet(to_inference),
            moderation=GrpcModeration(to_moderation),
            policies=GrpcPolicies(to_moderation),
            data_prep=GrpcDataPrep(to_data_prep),
            trainer=GrpcTrainer(to_trainer),
            orders=_orders(to_data_prep, to_trainer, to_optimizer),
            job_owners=_job_owners(to_data_prep, to_trainer, to_optimizer),
        )


def _watched_fleet(channels: Sequence[Channel]) -> Fleet:
    fleet = Fleet([GrpcEngines(channel) for channel in channels])
    INFERENCE_LEFT_ALONE.set_function(lambda: fleet.left_alone)
    return fleet


def _orders(to_data_prep: Channel, to_trainer: Channel, to_optimizer: Channel) -> Orders:
    data_prep, trainer = DataPrepServiceStub(to_data_prep), TrainerServiceStub(to_trainer)
    builder = OptimizerBuilderServiceStub(to_optimizer)
    return Orders(
        GrpcOrders(data_prep.CreateDataset, CreateDatasetRequest, data_prep_adapter.PEER),
        GrpcOrders(trainer.CreateFineTuningJob, CreateFineTuningJobRequest, trainer_adapter.PEER),
        GrpcOrders(trainer.CreateEvaluationJob, CreateEvaluationJobRequest, trainer_adapter.PEER),
        GrpcOrders(builder.CreateBuild, CreateBuildRequest, OPTIMIZER_BUILDER),
    )


def _job_owners(
    to_data_prep: Channel, to_trainer: Channel, to_optimizer: Channel
) -> Mapping[str, GrpcJobOwner]:
    training = GrpcJobOwner(to_trainer, trainer_adapter.PEER)
    return {
        DATASET: GrpcJobOwner(to_data_prep, data_prep_adapter.PEER),
        TRAIN: training,
        EVALUATE: training,
        OPTIMIZE: GrpcJobOwner(to_optimizer, OPTIMIZER_BUILDER),
    }
