"""Use case: what a dataset job's child asks of models, answered by its parent.

The child decodes what strangers uploaded, so it has no secret and talks to nobody but its parent,
who lets it ask the models that the spec names, for its own tenant.
"""

from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelmill.common.v1.chat_pb2 import ChatMessage
from modelmill.inference.v1.inference_service_pb2 import (
    Conversation,
    GenerateRequest,
    SamplingOptions,
    ScoreRequest,
)
from modelmill_inference_client.answers import ModelAnswer
from modelmill_inference_client.asked_models import AskedModels
from modelmill_inference_client.open_models import Ability, find_versions, model_gone
from modelmill_jobs.active import ActiveJob
from modelmill_jobs.errors import JobFailed
from modelmill_service_kit.errors import NotFoundError

from modelmill_data_prep.domain.dataset_plan import DatasetPlan

LOSS, TEXT = "loss", "text"
"""What is asked for."""
WHY_NO_MODELS = "data-prep has no inference service to ask. Set DATA_PREP_INFERENCE_ADDRESS"


MASK_64 = 2**64 - 1


@dataclass(frozen=True)
class OpenModels:
    """The models of one job, each fixed to the version that it was when the job began."""

    models: AskedModels
    tenant: str
    versions: Mapping[tuple[str, str], str]
    """By what is asked for and the model as in the spec."""

    async def __call__(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to a question of `adapters.parent_models.ParentModels`.

        Raises:
            JobFailed: The model is gone.
            UnavailableError: The service does not answer, or has no room, after all patience.
            KeyError: The spec names no such model.
        """
        version = self.versions[question["asks"], question["model"]]
        ask = self._loss if question["asks"] == LOSS else self._text
        try:
            answer = await ask(version, question)
        except NotFoundError as error:
            raise model_gone(error) from error
        value, refusal = answer.value, answer.refusal
        return {"value": value, "version": answer.version_id, "refusal": refusal}

    async def _loss(self, version: str, question: Mapping[str, Any]) -> ModelAnswer[float]:
        """The mean negative log-likelihood of the one continuation's tokens, in nats."""
        request = ScoreRequest.FromString(b64decode(question["request"]))
        request.tenant, request.model = self.tenant, version
        answer = await self.models.likelihoods(request)
        if answer.value is None:
            return ModelAnswer(None, "", answer.refusal)
        [score] = answer.value
        return ModelAnswer(-score.log_likelihood / max(score.tokens, 1), answer.version_id)

    async def _text(self, version: str, question: Mapping[str, Any]) -> ModelAnswer[str]:
        """The greedy answer to a prompt; none where it has no end."""
        turn = ChatMessage(role="user", content=question["prompt"])
        request = GenerateRequest(
            tenant=self.tenant,
            model=version,
            conversation=Conversation(messages=[turn]),
            # Greedy, so that the seed decides nothing where an engine is exact.
            options=SamplingOptions(
                max_new_tokens=question["max_new_tokens"],
                temperature=0,
                seed=question["seed"] & MASK_64,
            ),
        )
        answer = await self.models.text(request)
        if answer.value is None:
            return ModelAnswer(None, "", answer.refusal)
        if answer.value.finish_reason != "stop":
            return ModelAnswer(None, "", f"the answer has no end: {answer.value.finish_reason}")
        return ModelAnswer(answer.value.text, answer.version_id)


async def open_models(
    models: AskedModels | None, job: ActiveJob, plan: DatasetPlan
) -> OpenModels | None:
    """Load what the plan asks, and see which versions answer; None where it asks nothing.

    Raises:
        JobFailed: A model is unknown or cannot do it, or there is no service to ask.
        UnavailableError: The service does not answer, or has no room: the job shall wait.
    """
    if not plan.asks_models:
        return None
    if models is None:
        raise JobFailed("NO_INFERENCE", f"the spec asks models: {WHY_NO_MODELS}", WHY_NO_MODELS)
    wanted = [(TEXT, step.model) for step in plan.augment.by_models]
    if plan.curriculum.loss_model:
        wanted.append((LOSS, plan.curriculum.loss_model))
    abilities: list[tuple[Ability, str]] = [
        ("score" if asks == LOSS else "write", name) for asks, name in wanted
    ]
    found = await find_versions(models, job, abilities)
    return OpenModels(models, job.tenant, dict(zip(wanted, found, strict=True)))
