"""Resolves and loads the models of a job before its first request."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Literal

from modelmill.inference.v1.inference_service_pb2_grpc import InferenceServiceStub
from modelmill_jobs.active import ActiveJob
from modelmill_jobs.errors import JobFailed
from modelmill_service_kit.errors import NotFoundError, PreconditionError
from modelmill_service_kit.grpc_client import open_channel
from modelmill_service_kit.mutual_tls import MutualTls

from modelmill_inference_client.inference_models import PEER, AskedModels, InferenceModels

Ability = Literal["score", "write"]
"""What is asked of a model: how likely texts are, or texts."""


@asynccontextmanager
async def models_at(
    address: str, secret: str, identity: MutualTls | None
) -> AsyncIterator[InferenceModels | None]:
    """The models of the inference service at `address`; None where no address says at whom."""
    if not address:
        yield None
        return
    async with open_channel(address, secret, identity=identity, peer=PEER) as channel:
        yield InferenceModels(InferenceServiceStub(channel))


async def find_versions(
    models: AskedModels, job: ActiveJob, wanted: Sequence[tuple[Ability, str]]
) -> list[str]:
    """Load what `wanted` names, and see which versions answer, in its order.

    Raises:
        JobFailed: A model is unknown or cannot do it.
        UnavailableError: The service does not answer, or has no room: the job shall wait.
    """
    versions = []
    try:
        for done, (ability, name) in enumerate(wanted):
            await job.report("models", done=done, total=len(wanted), unit="model")
            find = models.scorer if ability == "score" else models.writer
            versions.append(await find(job.tenant, name))
    except NotFoundError as error:
        raise model_gone(error) from error
    except PreconditionError as error:
        remedy = "Choose a model that inference serves and that takes chats."
        raise JobFailed("MODEL_CANNOT_ANSWER", error.message, remedy) from error
    return versions


def model_gone(error: NotFoundError) -> JobFailed:
    """Error for a model that does not exist, or no longer."""
    return JobFailed("MODEL_GONE", error.message, "Choose another model.")
