"""The trainer service: training jobs."""

import grpc
from modelmill.trainer.v1.trainer_service_pb2 import CreateFineTuningJobRequest, TrainSpec
from modelmill.trainer.v1.trainer_service_pb2_grpc import TrainerServiceStub

from gateway.adapters.peer_errors import peer_errors
from gateway.create_fine_tuning_job import AcceptedJob

PEER = "the trainer"
CALL_SECONDS = 30.0


class GrpcTrainer:
    """The trainer behind its gRPC port."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = TrainerServiceStub(channel)

    async def create(
        self, spec: TrainSpec, *, tenant: str, requested_by: str, idempotency_key: str
    ) -> AcceptedJob:
        """Order a training run.

        Raises:
            NotFoundError: the dataset or the base model is unknown.
            InvalidInputError: hyper-parameters are wrong; all are listed.
            AlreadyExistsError: the key was used for another spec.
            UnavailableError: the bus does not answer; nothing was accepted.
        """
        request = CreateFineTuningJobRequest(
            tenant=tenant,
            requested_by=requested_by,
            idempotency_key=idempotency_key,
            spec=spec,
        )
        with peer_errors(PEER):
            response = await self._stub.CreateFineTuningJob(request, timeout=CALL_SECONDS)
        return AcceptedJob(response.job_id, response.sequence)
