"""Every handler of the route table, put together from the use cases."""

import asyncio
from collections.abc import Mapping

from modelmill_job_index.index import JobIndex

from modelmill_gateway.domain.routes import Body
from modelmill_gateway.entrypoints.document.operations import OPERATIONS
from modelmill_gateway.entrypoints.http.app import build_http_app
from modelmill_gateway.entrypoints.http.batches import BatchRoutes
from modelmill_gateway.entrypoints.http.budget import BudgetRoutes
from modelmill_gateway.entrypoints.http.changes import ChangeRoutes, with_records
from modelmill_gateway.entrypoints.http.chat import ChatRoute, GenerateRoute
from modelmill_gateway.entrypoints.http.completions import CompletionRoute
from modelmill_gateway.entrypoints.http.datasets import (
    DatasetRoutes,
    DatasetStories,
    DatasetStoryRoutes,
)
from modelmill_gateway.entrypoints.http.embeddings import EmbeddingRoute
from modelmill_gateway.entrypoints.http.evals import EvalRoutes
from modelmill_gateway.entrypoints.http.evaluations import EvaluationRoutes, ReadsEvaluations
from modelmill_gateway.entrypoints.http.feedback import FeedbackRoutes
from modelmill_gateway.entrypoints.http.files import FileRoutes, UploadRoutes
from modelmill_gateway.entrypoints.http.fine_tuning import FineTuningRoutes
from modelmill_gateway.entrypoints.http.job_event_replies import JobEventReplies
from modelmill_gateway.entrypoints.http.jobs import JobRoutes
from modelmill_gateway.entrypoints.http.keys import KeyRoutes
from modelmill_gateway.entrypoints.http.messages import CountTokensRoute, MessagesRoute
from modelmill_gateway.entrypoints.http.middleware import App, Middleware
from modelmill_gateway.entrypoints.http.models import ModelRoutes
from modelmill_gateway.entrypoints.http.moderations import ModerationRoute
from modelmill_gateway.entrypoints.http.optimizations import OptimizationRoutes
from modelmill_gateway.entrypoints.http.policies import PolicyRoutes
from modelmill_gateway.entrypoints.http.requests import handlers_of
from modelmill_gateway.entrypoints.http.responses import ResponsesRoute
from modelmill_gateway.entrypoints.http.usage import UsageRoutes
from modelmill_gateway.entrypoints.http.webhooks import WebhookRoutes
from modelmill_gateway.identity.credentials import Credentials
from modelmill_gateway.ordering.show_datasets import ReadReport
from modelmill_gateway.ports import DataPrep
from modelmill_gateway.settings import Settings
from modelmill_gateway.use_cases import UseCases

STATUSES = {name: operation.status for name, operation in OPERATIONS.items()}


def gateway_http_app(
    use_cases: UseCases,
    data_prep: DataPrep,
    stories: DatasetStories,
    evaluations: ReadsEvaluations,
    jobs: JobIndex,
    verifier: Credentials,
    *,
    settings: Settings,
    stopping: asyncio.Event,
) -> Middleware:
    """The HTTP server's application; `stopping` ends streams that might go on for hours."""
    events = JobEventReplies(use_cases.watch_job, use_cases.event_ids, stopping)
    handlers = handlers_of(
        *_data_routes(use_cases, data_prep, stories),
        *_job_routes(use_cases, events, evaluations, jobs),
        PolicyRoutes(use_cases.manage_policy),
        FeedbackRoutes(use_cases.record_feedback),
        BudgetRoutes(use_cases.manage_budget),
        UsageRoutes(use_cases.show_usage),
        WebhookRoutes(use_cases.webhooks),
        KeyRoutes(use_cases.manage_keys, use_cases.manage_budget),
        ChangeRoutes(use_cases.record_changes),
    )
    return build_http_app(
        verifier=verifier,
        require_models=use_cases.require_models,
        request_ids=use_cases.record_feedback.request_ids,
        handlers=with_records(handlers, use_cases.record_changes, STATUSES),
        hot=_hot_routes(use_cases, settings),
        limits={Body.JSON: settings.max_body_bytes, Body.UPLOAD: settings.max_upload_bytes},
        stopping=stopping,
    )


def _data_routes(
    use_cases: UseCases, data_prep: DataPrep, stories: DatasetStories
) -> tuple[object, ...]:
    return (
        ModelRoutes(
            use_cases.show_models,
            use_cases.move_alias,
            use_cases.delete_model.delete_alias,
            use_cases.delete_model,
        ),
        FileRoutes(data_prep, use_cases.delete_file, use_cases.find_file),
        UploadRoutes(data_prep),
        DatasetRoutes(
            use_cases.create_dataset, use_cases.show_datasets, use_cases.delete_dataset, data_prep
        ),
        DatasetStoryRoutes(stories, ReadReport(stories, use_cases.show_datasets)),
    )


def _job_routes(
    use_cases: UseCases, events: JobEventReplies, evaluations: ReadsEvaluations, jobs: JobIndex
) -> tuple[object, ...]:
    control_job = use_cases.control_job
    return (
        FineTuningRoutes(use_cases.create_fine_tuning_job, control_job, events, jobs),
        OptimizationRoutes(use_cases.create_optimization, control_job, jobs),
        EvaluationRoutes(use_cases.create_evaluation, control_job, jobs, evaluations),
        JobRoutes(control_job, events, jobs),
        BatchRoutes(use_cases.create_batch, control_job, jobs),
        EvalRoutes(
            use_cases.manage_evals,
            use_cases.create_eval_run,
            use_cases.show_eval_runs,
            control_job,
        ),
    )


def _hot_routes(use_cases: UseCases, settings: Settings) -> Mapping[str, App]:
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
