"""What a job asks of models, whoever answers: inference, or a fake of it in unit tests."""

from typing import Protocol

from modelmill.inference.v1.inference_service_pb2 import GenerateRequest, ScoreRequest

from modelmill_inference_client.answers import Likelihood, ModelAnswer, Text


class AskedModels(Protocol):
    """See `modelmill_inference_client.inference_models.InferenceModels`."""

    async def scorer(self, tenant: str, model: str) -> str: ...

    async def writer(self, tenant: str, model: str) -> str: ...

    async def likelihoods(self, request: ScoreRequest) -> ModelAnswer[tuple[Likelihood, ...]]: ...

    async def text(self, request: GenerateRequest) -> ModelAnswer[Text]: ...
