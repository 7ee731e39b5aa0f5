"""Use case: what an evaluation's child asks of models, answered by its parent.

The child reads what strangers uploaded and runs their templates, so it has no secret and talks to
nobody but its parent, who lets it ask the job's models, for the job's tenant.
"""

from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from modelmill.inference.v1.inference_service_pb2 import GenerateRequest, ScoreRequest
from modelmill_inference_client.asked_models import AskedModels
from modelmill_inference_client.open_models import model_gone
from modelmill_service_kit.errors import NotFoundError

from modelmill_trainer.evaluating.question_kinds import SCORE


@dataclass(frozen=True)
class OpenModels:
    """The models of one evaluation, each fixed to the version that it was when the job began."""

    models: AskedModels
    tenant: str
    versions: Sequence[str]
    """The measured one, and the other if there is one."""

    async def __call__(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to a question of `modelmill_trainer.evaluating.questions.Question`.

        Raises:
            JobFailed: The model is gone.
            UnavailableError: The service does not answer, or has no room, after all patience.
            IndexError: The job has no such model.
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
