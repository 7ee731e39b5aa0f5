"""Use case: proxy a child process' inference requests to the inference service.

The child parses uploaded files and renders untrusted templates, so it has neither network nor
secrets. The parent sets tenant and model: a child reaches only the models of its job.
"""

from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from modelmill.inference.v1.inference_service_pb2 import GenerateRequest, ScoreRequest
from modelmill_inference_client.inference_models import AskedModels
from modelmill_inference_client.open_models import model_gone
from modelmill_service_kit.errors import NotFoundError

from modelmill_trainer.evaluating.items import SCORE


@dataclass(frozen=True)
class ModelRequestHandler:
    """Forwards requests of one job; each model is pinned to the version it had at job start."""

    models: AskedModels
    tenant: str
    versions: Sequence[str]
    """By `side` of a request: the evaluated version, then the version it is compared with."""

    async def __call__(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """Answer one request that `modelmill_trainer.evaluating.questions.model_request` wrote.

        Raises:
            JobFailed: The model was retired.
            UnavailableError: Inference is down or overloaded, and all retries failed.
            IndexError: The job has no model on this side.
        """
        version, raw = self.versions[question["side"]], b64decode(question["request"])
        try:
            if question["asks"] == SCORE:
                return await self._likelihoods(version, raw)
            return await self._text(version, raw)
        except NotFoundError as error:
            raise model_gone(error) from error

    async def _likelihoods(self, version: str, raw: bytes) -> dict[str, Any]:
        request = ScoreRequest.FromString(raw)
        request.tenant, request.model = self.tenant, version
        answer = await self.models.likelihoods(request)
        value = None if answer.value is None else [asdict(each) for each in answer.value]
        return {"value": value, "refusal": answer.refusal}

    async def _text(self, version: str, raw: bytes) -> dict[str, Any]:
        request = GenerateRequest.FromString(raw)
        request.tenant, request.model = self.tenant, version
        answer = await self.models.text(request)
        value = None if answer.value is None else asdict(answer.value)
        return {"value": value, "refusal": answer.refusal}
