"""Every handler of the route table, put together from the use cases."""

import asyncio
from collections.abc import Mapping
from typing import Protocol

from modelmill_gateway.domain.route import Body
from modelmill_gateway.entrypoints.document.operations import OPERATIONS
from modelmill_gateway.entrypoints.http.app import build_http_app
from modelmill_gateway.entrypoints.http.batches import BatchRoutes
from modelmill_gateway.entrypoints.http.budget import BudgetRoutes
from modelmill_gateway.entrypoints.http.changes import ChangeRoutes, with_records
from modelmill_gateway.entrypoints.http.chat import ChatRoute, GenerateRoute
from modelmill_gateway.entrypoints.http.completions import CompletionRoute
from modelmill_gateway.entrypoints.http.dataset_stories import DatasetStories, DatasetStoryRoutes
from modelmill_gateway.entrypoints.http.datasets import DatasetRoutes
from modelmill_gateway.entrypoints.http.embeddings import EmbeddingRoute
from modelmill_gateway.entrypoints.http.evals import EvalRoutes
from modelmill_gateway.entrypoints.http.evaluations import EvaluationRoutes, ReadsEvaluations
from modelmill_gateway.entrypoints.http.feedback import FeedbackRoutes
from modelmill_gateway.entrypoints.http.files import FileRoutes
from modelmill_gateway.entrypoints.http.fine_tuning import FineTuningRoutes
from modelmill_gateway.entrypoints.http.gate import App, Gate, Verifier
from modelmill_gateway.entrypoints.http.job_event_replies import JobEventReplies
from modelmill_gateway.entrypoints.http.jobs import JobRoutes, Jobs
from modelmill_gateway.entrypoints.http.keys import KeyRoutes
from modelmill_gateway.entrypoints.http.messages import CountTokensRoute, MessagesRoute
from modelmill_gateway.entrypoints.http.models import ModelRoutes
from modelmill_gateway.entrypoints.http.moderations import ModerationRoute
from modelmill_gateway.entrypoints.http.optimizations import OptimizationRoutes
from modelmill_gateway.entrypoints.http.policies import PolicyRoutes
from modelmill_gateway.entrypoints.http.requests import Handlers
from modelmill_gateway.entrypoints.http.responses import ResponsesRoute
from modelmill_gateway.entrypoints.http.uploads import UploadRoutes
from modelmill_gateway.entrypoints.http.usage import UsageRoutes
from modelmill_gateway.entrypoints.http.webhooks import WebhookRoutes
from modelmill_gateway.ordering.show_datasets import ReadReport
from modelmill_gateway.ports import DataPrep
from modelmill_gateway.use_cases import UseCases

STATUSES = {name: operation.status for name, operation in OPERATIONS.items()}


class HttpChoices(Protocol):
    """The settings that the HTTP door has for itself; see `modelmill_gateway.settings.Settings`."""

    @property
    def default_model(self) -> str: ...
    @property
    def max_body_bytes(self) -> int: ...
    @property
    def max_upload_bytes(self) -> int: ...


def gateway_http_app(
    use_cases: UseCases,
    data_prep: DataPrep,
    stories: DatasetStories,
    evaluations: ReadsEvaluations,
    jobs: Jobs,
    verifier: Verifier,
    *,
    settings: HttpChoices,
    stopping: asyncio.Event,
) -> Gate:
    """The HTTP door; `stopping` ends streams that might go on for hours."""
    models = ModelRoutes(
        *(use_cases.show_models, use_cases.move_alias, use_cases.split_alias),
        *(use_cases.delete_model.delete_alias, use_cases.delete_model),
    )
    events = JobEventReplies(use_cases.watch_job, use_cases.event_ids, stopping)
    datasets = DatasetRoutes(
        use_cases.create_dataset, use_cases.show_datasets, use_cases.delete_dataset, data_prep
    )
    handlers = {
        **_judging_handlers(use_cases),
        **models.handlers(),
        **FileRoutes(data_prep, use_cases.delete_file, use_cases.find_file).handlers(),
        **UploadRoutes(data_prep).handlers(),
        **datasets.handlers(),
        **DatasetStoryRoutes(stories, ReadReport(stories, use_cases.show_datasets)).handlers(),
        **_job_handlers(use_cases, events, evaluations, jobs),
        **_tenant_handlers(use_cases),
    }
    return build_http_app(
        verifier=verifier,
        require_models=use_cases.require_models,
        request_ids=use_cases.record_feedback.request_ids,
        handlers=with_records(handlers, use_cases.record_changes, STATUSES),
        hot=_hot_routes(use_cases, settings),
        limits={Body.JSON: settings.max_body_bytes, Body.UPLOAD: settings.max_upload_bytes},
        stopping=stopping,
    )


def _job_handlers(
    use_cases: UseCases, events: JobEventReplies, evaluations: ReadsEvaluations, jobs: Jobs
) -> Handlers:
    control_job = use_cases.control_job
    training = FineTuningRoutes(use_cases.create_fine_tuning_job, control_job, events, jobs)
    measuring = EvaluationRoutes(use_cases.create_evaluation, control_job, jobs, evaluations)
    return {
        **training.handlers(),
        **OptimizationRoutes(use_cases.create_optimization, control_job, jobs).handlers(),
        **measuring.handlers(),
        **JobRoutes(control_job, events, jobs).handlers(),
        **BatchRoutes(use_cases.create_batch, control_job, jobs).handlers(),
        **EvalRoutes(
            *(use_cases.manage_evals, use_cases.create_eval_run, use_cases.show_eval_runs),
            control_job,
        ).handlers(),
    }


def _tenant_handlers(use_cases: UseCases) -> Handlers:
    """Of what a tenant has beside its models and data."""
    return {
        **BudgetRoutes(use_cases.manage_budget).handlers(),
        **UsageRoutes(use_cases.show_usage).handlers(),
        **WebhookRoutes(use_cases.webhooks).handlers(),
        **KeyRoutes(use_cases.manage_keys, use_cases.manage_budget).handlers(),
        **ChangeRoutes(use_cases.record_changes).handlers(),
    }


def _judging_handlers(use_cases: UseCases) -> Handlers:
    return {
        **PolicyRoutes(use_cases.manage_policy).handlers(),
        **FeedbackRoutes(use_cases.record_feedback).handlers(),
    }


def _hot_routes(use_cases: UseCases, settings: HttpChoices) -> Mapping[str, App]:
    return {
        "chat": ChatRoute(use_cases.answer_chat),
        "complete": CompletionRoute(use_cases.answer_chat),
        "respond": ResponsesRoute(use_cases.answer_chat),
        "count_tokens": CountTokensRoute(use_cases.count_prompt),
        "messages": MessagesRoute(use_cases.answer_chat),
        "generate": GenerateRoute(use_cases.answer_chat, settings.default_model),
        "embed": EmbeddingRoute(use_cases.embed_texts),
        "moderate": ModerationRoute(use_cases.judge_texts),
    }
