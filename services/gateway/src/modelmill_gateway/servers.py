"""Both servers' applications, put together from the same use cases."""

import asyncio

import grpc

from modelmill_gateway.composition import Parts, UseCases
from modelmill_gateway.domain.routes import Body
from modelmill_gateway.entrypoints.document.operations import OPERATIONS
from modelmill_gateway.entrypoints.grpc.callers import CallerProcedures
from modelmill_gateway.entrypoints.grpc.chat import ChatProcedures
from modelmill_gateway.entrypoints.grpc.files import DatasetProcedures, FileProcedures
from modelmill_gateway.entrypoints.grpc.jobs import JobProcedures, OrderProcedures
from modelmill_gateway.entrypoints.grpc.middleware import SERVICE, build_handlers
from modelmill_gateway.entrypoints.grpc.middleware import with_records as recorded_procedures
from modelmill_gateway.entrypoints.grpc.models import ModelProcedures
from modelmill_gateway.entrypoints.grpc.operations import OperationsProcedures
from modelmill_gateway.entrypoints.grpc.policies import PolicyProcedures
from modelmill_gateway.entrypoints.grpc.tenants import TenantProcedures
from modelmill_gateway.entrypoints.http.app import build_http_app
from modelmill_gateway.entrypoints.http.callers import CallerRoutes
from modelmill_gateway.entrypoints.http.changes import ChangeRoutes, with_records
from modelmill_gateway.entrypoints.http.chat import ChatRoute, CompletionRoute, GenerateRoute
from modelmill_gateway.entrypoints.http.console import ConsoleRoutes
from modelmill_gateway.entrypoints.http.datasets import DatasetRoutes
from modelmill_gateway.entrypoints.http.documentation import DocumentationRoutes
from modelmill_gateway.entrypoints.http.embeddings import EmbeddingRoute, ModerationRoute
from modelmill_gateway.entrypoints.http.evals import BatchRoutes, EvalRoutes
from modelmill_gateway.entrypoints.http.experiments import ExperimentRoutes
from modelmill_gateway.entrypoints.http.feedback import FeedbackRoutes
from modelmill_gateway.entrypoints.http.files import FileRoutes
from modelmill_gateway.entrypoints.http.fine_tuning import FineTuningRoutes
from modelmill_gateway.entrypoints.http.job_metrics import JobMetricsRoutes
from modelmill_gateway.entrypoints.http.jobs import (
    EvaluationRoutes,
    JobEventReplies,
    JobRoutes,
    OptimizationRoutes,
)
from modelmill_gateway.entrypoints.http.keys import BudgetRoutes, KeyRoutes
from modelmill_gateway.entrypoints.http.logs import LogRoutes
from modelmill_gateway.entrypoints.http.messages import CountTokensRoute, MessagesRoute
from modelmill_gateway.entrypoints.http.middleware import Middleware
from modelmill_gateway.entrypoints.http.models import ModelRoutes
from modelmill_gateway.entrypoints.http.operations import OperationsRoutes
from modelmill_gateway.entrypoints.http.policies import PolicyRoutes
from modelmill_gateway.entrypoints.http.requests import handlers_of
from modelmill_gateway.entrypoints.http.responses import ResponsesRoute
from modelmill_gateway.entrypoints.http.tenants import TenantRoutes
from modelmill_gateway.entrypoints.http.usage import UsageRoutes
from modelmill_gateway.entrypoints.http.webhooks import WebhookRoutes
from modelmill_gateway.identity.credentials import Credentials


def gateway_http_app(
    use_cases: UseCases, parts: Parts, verifier: Credentials, stopping: asyncio.Event
) -> Middleware:
    """The HTTP server's application; `stopping` ends streams that might go on for hours."""
    settings, answer_chat = parts.settings, use_cases.answer_chat
    handlers = handlers_of(
        *_data_routes(use_cases, parts),
        *_job_routes(use_cases, parts, stopping),
        PolicyRoutes(use_cases.manage_policy),
        FeedbackRoutes(use_cases.record_feedback),
        BudgetRoutes(use_cases.manage_budget),
        UsageRoutes(use_cases.show_usage),
        WebhookRoutes(use_cases.webhooks),
        KeyRoutes(use_cases.manage_keys, use_cases.manage_budget),
        ChangeRoutes(use_cases.record_changes),
        CallerRoutes(),
        *_operator_routes(use_cases),
        DocumentationRoutes(settings.docs_folder),
        ConsoleRoutes(settings.console_folder, parts.sign_in),
    )
    statuses = {name: operation.status for name, operation in OPERATIONS.items()}
    return build_http_app(
        verifier=verifier,
        require_models=use_cases.require_models,
        request_ids=use_cases.record_feedback.request_ids,
        handlers=with_records(handlers, use_cases.record_changes, statuses),
        hot={
            "chat": ChatRoute(answer_chat),
            "complete": CompletionRoute(answer_chat),
            "respond": ResponsesRoute(answer_chat),
            "messages": MessagesRoute(answer_chat),
            "generate": GenerateRoute(answer_chat, settings.default_model),
            "count_tokens": CountTokensRoute(use_cases.count_prompt),
            "embed": EmbeddingRoute(use_cases.embed_texts),
            "moderate": ModerationRoute(use_cases.judge_texts),
        },
        limits={Body.JSON: settings.max_body_bytes, Body.UPLOAD: settings.max_upload_bytes},
        stopping=stopping,
    )


def _operator_routes(use_cases: UseCases) -> tuple[object, ...]:
    return (
        TenantRoutes(use_cases.manage_tenants, use_cases.export_tenant, use_cases.show_status),
        OperationsRoutes(use_cases.find_problems, use_cases.show_alerts, use_cases.show_capacity),
    )


def _data_routes(use_cases: UseCases, parts: Parts) -> tuple[object, ...]:
    data_prep = parts.peers.data_prep
    return (
        ModelRoutes(
            use_cases.show_models,
            use_cases.move_alias,
            use_cases.delete_alias,
            use_cases.delete_model,
            use_cases.compare_forms,
            use_cases.read_model_card,
        ),
        ExperimentRoutes(use_cases.manage_experiments),
        LogRoutes(use_cases.read_log),
        FileRoutes(data_prep, use_cases.find_file),
        DatasetRoutes(use_cases.create_dataset, use_cases.manage_datasets, data_prep),
    )


def _job_routes(use_cases: UseCases, parts: Parts, stopping: asyncio.Event) -> tuple[object, ...]:
    control_job, jobs = use_cases.control_job, parts.known.jobs
    events = JobEventReplies(use_cases.watch_job, use_cases.event_ids, stopping)
    return (
        FineTuningRoutes(
            use_cases.create_fine_tuning_job,
            use_cases.estimate_training,
            control_job,
            events,
            jobs,
        ),
        OptimizationRoutes(
            use_cases.create_optimization,
            use_cases.estimate_build,
            control_job,
            jobs,
            use_cases.compare_forms,
        ),
        EvaluationRoutes(
            use_cases.create_evaluation,
            use_cases.estimate_evaluation,
            control_job,
            jobs,
            parts.peers.trainer,
        ),
        JobRoutes(control_job, events, jobs),
        JobMetricsRoutes(use_cases.read_job_metrics, use_cases.compare_jobs),
        BatchRoutes(use_cases.create_batch, control_job, jobs),
        EvalRoutes(
            use_cases.manage_evals, use_cases.create_eval_run, use_cases.show_eval_runs, control_job
        ),
    )


def gateway_rpc_handlers(
    use_cases: UseCases, parts: Parts, verifier: Credentials, stopping: asyncio.Event
) -> grpc.GenericRpcHandler:
    """The procedures of modelmill.gateway.v1, behind their middleware; `stopping` ends streams."""
    handlers = {
        method.name: getattr(servicer, method.name)
        for servicer in _servicers(use_cases, parts, stopping)
        for method in SERVICE.methods
        if hasattr(servicer, method.name)
    }
    return build_handlers(
        recorded_procedures(handlers, use_cases.record_changes),
        verifier,
        use_cases.require_models,
        use_cases.record_feedback.request_ids,
        parts.settings.max_body_bytes,
    )


def _servicers(use_cases: UseCases, parts: Parts, stopping: asyncio.Event) -> tuple[object, ...]:
    data_prep, max_bytes = parts.peers.data_prep, parts.settings.max_upload_bytes
    return (
        CallerProcedures(),
        ChatProcedures(use_cases.answer_chat),
        PolicyProcedures(use_cases.manage_policy, use_cases.record_feedback),
        ModelProcedures(
            use_cases.show_models,
            use_cases.move_alias,
            use_cases.delete_alias,
            use_cases.delete_model,
        ),
        TenantProcedures(use_cases.manage_tenants, use_cases.export_tenant, use_cases.show_status),
        OperationsProcedures(use_cases.find_problems, use_cases.show_alerts),
        FileProcedures(data_prep, use_cases.find_file, max_bytes=max_bytes),
        DatasetProcedures(use_cases.manage_datasets, data_prep),
        OrderProcedures(
            use_cases.create_dataset,
            use_cases.create_fine_tuning_job,
            use_cases.estimate_training,
            use_cases.create_optimization,
            use_cases.estimate_build,
            use_cases.create_evaluation,
            use_cases.estimate_evaluation,
            parts.peers.trainer,
        ),
        JobProcedures(
            use_cases.control_job,
            use_cases.watch_job,
            use_cases.event_ids,
            use_cases.read_job_metrics,
            parts.known.jobs,
            stopping,
        ),
    )
