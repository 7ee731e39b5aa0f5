"""Use case: proxy a dataset job's inference requests to the inference service.

The child process decodes untrusted files, so it has neither network nor secrets. The parent sets
tenant and version: a child reaches only the models that its spec names.
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
from modelmill_inference_client.inference_models import AskedModels, ModelAnswer
from modelmill_inference_client.open_models import Ability, find_versions, model_gone
from modelmill_jobs.active import ActiveJob
from modelmill_jobs.errors import JobFailed
from modelmill_service_kit.errors import NotFoundError

from modelmill_data_prep.domain.dataset_plan import DatasetPlan

LOSS, TEXT = "loss", "text"
"""Kinds of requests."""
MODELS_UNAVAILABLE = "data-prep has no inference service. Set DATA_PREP_INFERENCE_ADDRESS"


MASK_64 = 2**64 - 1


@dataclass(frozen=True)
class JobModelRequests:
    """Forwards requests of one job; each model is pinned to the version it had at job start."""

    models: AskedModels
    tenant: str
    versions: Mapping[tuple[str, str], str]
    """Version by request kind and model name of the spec."""

    async def __call__(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """Answer one request of `adapters.parent_models.ParentModels`.

        Raises:
            JobFailed: The model was retired.
            UnavailableError: Inference is down or overloaded, and all retries failed.
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
        """Mean negative log-likelihood per token of the continuation, in nats."""
        request = ScoreRequest.FromString(b64decode(question["request"]))
        request.tenant, request.model = self.tenant, version
        answer = await self.models.likelihoods(request)
        if answer.value is None:
            return ModelAnswer(None, "", answer.refusal)
        [score] = answer.value
        return ModelAnswer(-score.log_likelihood / max(score.tokens, 1), answer.version_id)

    async def _text(self, version: str, question: Mapping[str, Any]) -> ModelAnswer[str]:
        """The greedy completion of a prompt; None if it was truncated."""
        turn = ChatMessage(role="user", content=question["prompt"])
        request = GenerateRequest(
            tenant=self.tenant,
            model=version,
            conversation=Conversation(messages=[turn]),
            # Greedy, so that results are reproducible with deterministic engines.
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
            return ModelAnswer(None, "", f"the answer is incomplete: {answer.value.finish_reason}")
        return ModelAnswer(answer.value.text, answer.version_id)


async def resolve_job_models(
    models: AskedModels | None, job: ActiveJob, plan: DatasetPlan
) -> JobModelRequests | None:
    """Load the models of the plan and pin their versions; None if it uses no model.

    Raises:
        JobFailed: A model is unknown or lacks an ability, or no inference is configured.
        UnavailableError: Inference is down or overloaded; the job is retried later.
    """
    if not plan.asks_models:
        return None
    if models is None:
        raise JobFailed(
            "NO_INFERENCE", f"the spec asks models: {MODELS_UNAVAILABLE}", MODELS_UNAVAILABLE
        )
    wanted = [(TEXT, step.model) for step in plan.augment.by_models]
    if plan.curriculum.loss_model:
        wanted.append((LOSS, plan.curriculum.loss_model))
    abilities: list[tuple[Ability, str]] = [
        ("score" if asks == LOSS else "write", name) for asks, name in wanted
    ]
    found = await find_versions(models, job, abilities)
    return JobModelRequests(models, job.tenant, dict(zip(wanted, found, strict=True)))
