"""What each route of the table takes and gives: the table behind the API document."""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from modelmill_gateway.entrypoints.schemas import (
    alerts,
    batches,
    callers,
    capacity,
    chat,
    completions,
    dataset_comparison,
    datasets,
    embeddings,
    evals,
    evaluation_rows,
    evaluations,
    experiments,
    feedback,
    files,
    findings,
    fine_tuning,
    fine_tuning_estimate,
    form_candidates,
    job_comparison,
    job_metrics,
    jobs,
    keys,
    logs,
    messages,
    models,
    moderations,
    order_estimates,
    policies,
    queries,
    responses,
    sign_in,
    tenants,
    usage,
    webhooks,
)
from modelmill_gateway.entrypoints.schemas.base import Deleted, Health, Page, WholeList


@dataclass(frozen=True)
class Operation:
    """One route. `refusals` are those beyond what its scope, path and body bring with them."""

    response: type[Any] | None
    """A response model or typed dict; None when it is no JSON of a shape of its own."""
    body: type[BaseModel] | None = None
    status: int = 200
    events: type[Any] | None = None
    """What a stream of server-sent events carries, for who asks for one."""
    has_table: bool = False
    """Whether it may be CSV as well."""
    refusals: tuple[int, ...] = ()
    query: type[queries.Query] | None = None

    @property
    def parameters(self) -> type[queries.Query] | None:
        """Those of its query; a page of a list has its own."""
        is_page = isinstance(self.response, type) and issubclass(self.response, Page)
        return self.query or (queries.PageQuery if is_page else None)


NEIGHBOUR = (503, 504)
TEXT = (404, 409, 429, *NEIGHBOUR)
ORDER = (404, 429, *NEIGHBOUR)
STEER = (409, *NEIGHBOUR)
HOOK = (409, *NEIGHBOUR)

OPERATIONS = {
    "index": Operation(None),
    "documentation": Operation(None, status=307),
    "documentation_page": Operation(None),
    "console": Operation(None, status=307, refusals=(404,)),
    "console_page": Operation(None),
    "reference": Operation(None),
    "health": Operation(Health, refusals=(503,)),
    "ready": Operation(Health, refusals=(503,)),
    "openapi": Operation(None),
    "asyncapi": Operation(None),
    "list_sign_in": Operation(WholeList[sign_in.SignInOption]),
    "get_me": Operation(callers.CallerIdentity),
    "generate": Operation(chat.GeneratedText, chat.GenerateBody, refusals=TEXT),
    "chat": Operation(
        chat.ChatCompletion,
        chat.ChatBody,
        events=chat.ChatCompletionChunk,
        refusals=TEXT,
    ),
    "complete": Operation(
        completions.Completion,
        completions.CompletionBody,
        events=completions.Completion,
        refusals=TEXT,
    ),
    "respond": Operation(
        responses.Response,
        responses.ResponseBody,
        events=responses.ResponseEvent,
        refusals=TEXT,
    ),
    "count_tokens": Operation(messages.CountedTokens, messages.CountedBody, refusals=TEXT),
    "messages": Operation(
        messages.Message,
        messages.MessagesBody,
        events=messages.MessageEvent,
        refusals=TEXT,
    ),
    "embed": Operation(embeddings.EmbeddingList, embeddings.EmbeddingBody, refusals=TEXT),
    "moderate": Operation(
        moderations.Moderation,
        moderations.ModerationBody,
        refusals=(429, *NEIGHBOUR),
    ),
    "record_feedback": Operation(
        feedback.RecordedFeedback, feedback.FeedbackBody, refusals=(404, 503)
    ),
    "list_feedback": Operation(Page[feedback.FeedbackRecord], refusals=(503,)),
    "get_feedback": Operation(feedback.FeedbackRecord, refusals=(503,)),
    "get_policy": Operation(policies.Policy, refusals=(404, *NEIGHBOUR), query=queries.PolicyQuery),
    "put_policy": Operation(policies.PolicyChange, policies.PolicyBody, refusals=STEER),
    "list_policies": Operation(WholeList[policies.PolicyVersion], refusals=NEIGHBOUR),
    "revert_policy": Operation(
        policies.PolicyReverted, policies.RevertBody, refusals=(404, *STEER)
    ),
    "list_logs": Operation(
        Page[logs.LoggedRequestRecord], refusals=(409, 503), query=queries.LogQuery
    ),
    "delete_logs": Operation(logs.DeletedLogs, refusals=(409, 503), query=queries.LogUserQuery),
    "get_log": Operation(logs.LoggedRequestRecord, refusals=(409, 503)),
    "list_models": Operation(models.ModelList),
    "get_model": Operation(models.AnyModel),
    "compare_forms": Operation(form_candidates.FormComparisonReport),
    "get_model_card": Operation(models.ModelCard, refusals=(503,)),
    "delete_model": Operation(models.DeletedModel, refusals=STEER),
    "list_aliases": Operation(WholeList[models.Alias]),
    "move_alias": Operation(models.Alias, models.AliasBody, refusals=STEER),
    "delete_alias": Operation(Deleted, refusals=STEER),
    "create_experiment": Operation(
        experiments.Experiment,
        experiments.ExperimentBody,
        refusals=(404, 409, 422, *NEIGHBOUR),
    ),
    "list_experiments": Operation(Page[experiments.Experiment]),
    "get_experiment": Operation(experiments.Experiment),
    "stop_experiment": Operation(experiments.Experiment, refusals=STEER),
    "list_experiment_units": Operation(WholeList[experiments.ExperimentUnit], refusals=(503,)),
    "upload_file": Operation(files.File, refusals=(429, *NEIGHBOUR)),
    "list_files": Operation(Page[files.File], refusals=NEIGHBOUR, query=queries.FileQuery),
    "get_file": Operation(files.File, refusals=NEIGHBOUR),
    "delete_file": Operation(Deleted, refusals=STEER),
    "get_content": Operation(None, refusals=NEIGHBOUR),
    "begin_upload": Operation(files.Upload, files.UploadBody, refusals=(429, *NEIGHBOUR)),
    "add_upload_part": Operation(files.UploadPart, refusals=(422, 429, *NEIGHBOUR)),
    "complete_upload": Operation(
        files.Upload, files.CompleteUploadBody, refusals=(429, *NEIGHBOUR)
    ),
    "cancel_upload": Operation(files.Upload, refusals=NEIGHBOUR),
    "preview_dataset": Operation(
        datasets.DatasetPreview, datasets.PreviewBody, refusals=(404, *NEIGHBOUR)
    ),
    "create_dataset": Operation(
        datasets.AcceptedDataset, datasets.DatasetBody, status=202, refusals=ORDER
    ),
    "list_datasets": Operation(Page[datasets.Dataset]),
    "get_dataset": Operation(datasets.Dataset),
    "delete_dataset": Operation(Deleted, refusals=STEER),
    "explain_row": Operation(
        datasets.ExplainedRow, refusals=(400, *NEIGHBOUR), query=queries.RowQuery
    ),
    "diff_datasets": Operation(datasets.DatasetDiff, refusals=NEIGHBOUR, query=queries.DiffQuery),
    "get_report": Operation(None, refusals=NEIGHBOUR, query=queries.ReportQuery),
    "compare_datasets": Operation(dataset_comparison.DatasetComparison, refusals=(422, *NEIGHBOUR)),
    "list_unshared_rows": Operation(
        Page[dataset_comparison.UnsharedRow],
        refusals=(400, 422, *NEIGHBOUR),
        query=queries.RowPageQuery,
    ),
    "create_fine_tuning": Operation(
        fine_tuning.FineTuningJob, fine_tuning.FineTuningBody, refusals=ORDER
    ),
    "estimate_fine_tuning": Operation(
        fine_tuning_estimate.FineTuningEstimate,
        fine_tuning.FineTuningBody,
        refusals=(404, 409, *NEIGHBOUR),
    ),
    "list_fine_tuning": Operation(Page[fine_tuning.FineTuningJob], query=queries.FineTuningQuery),
    "get_fine_tuning": Operation(fine_tuning.FineTuningJob),
    "list_fine_tuning_events": Operation(
        Page[jobs.JobEvent], events=jobs.JobEvent, refusals=(422,)
    ),
    "list_fine_tuning_checkpoints": Operation(Page[fine_tuning.Checkpoint]),
    "cancel_fine_tuning": Operation(fine_tuning.FineTuningJob, refusals=STEER),
    "pause_fine_tuning": Operation(fine_tuning.FineTuningJob, refusals=STEER),
    "resume_fine_tuning": Operation(fine_tuning.FineTuningJob, refusals=STEER),
    "create_optimization": Operation(
        jobs.Optimization,
        jobs.OptimizationBody,
        status=202,
        refusals=ORDER,
    ),
    "estimate_optimization": Operation(
        order_estimates.OptimizationEstimate,
        jobs.OptimizationBody,
        refusals=(404, 409, *NEIGHBOUR),
    ),
    "list_optimizations": Operation(Page[jobs.Optimization]),
    "get_optimization": Operation(jobs.Optimization),
    "compare_candidates": Operation(form_candidates.FormComparisonReport),
    "cancel_optimization": Operation(jobs.Optimization, refusals=STEER),
    "create_evaluation": Operation(
        evaluations.Evaluation,
        evaluations.EvaluationBody,
        status=202,
        refusals=(409, *ORDER),
    ),
    "estimate_evaluation": Operation(
        order_estimates.EvaluationEstimate,
        evaluations.EvaluationBody,
        refusals=(404, 409, *NEIGHBOUR),
    ),
    "list_evaluations": Operation(Page[evaluations.Evaluation]),
    "get_evaluation": Operation(evaluations.Evaluation),
    "get_evaluation_report": Operation(
        None, refusals=NEIGHBOUR, query=queries.EvaluationReportQuery
    ),
    "list_evaluation_rows": Operation(
        Page[evaluation_rows.EvaluationRow],
        refusals=(400, 422, *NEIGHBOUR),
        query=queries.EvaluationRowsQuery,
    ),
    "cancel_evaluation": Operation(evaluations.Evaluation, refusals=STEER),
    "list_jobs": Operation(Page[jobs.Job], query=queries.JobQuery),
    "get_job": Operation(jobs.Job),
    "list_job_events": Operation(Page[jobs.JobEvent], events=jobs.JobEvent, refusals=(422,)),
    "get_job_metrics": Operation(
        job_metrics.JobMetricsReport,
        has_table=True,
        refusals=(400, *NEIGHBOUR),
        query=queries.JobMetricsQuery,
    ),
    "compare_jobs": Operation(
        job_comparison.JobComparison, refusals=(400,), query=queries.JobComparisonQuery
    ),
    "cancel_job": Operation(jobs.Job, refusals=STEER),
    "pause_job": Operation(jobs.Job, refusals=STEER),
    "resume_job": Operation(jobs.Job, refusals=STEER),
    "get_budget": Operation(keys.Budget),
    "put_budget": Operation(keys.Budget, keys.BudgetBody, refusals=HOOK),
    "get_usage": Operation(usage.UsagePage, refusals=(503,), query=queries.UsageQuery),
    "get_organization_usage": Operation(usage.UsagePage, refusals=(503,), query=queries.UsageQuery),
    "create_eval": Operation(evals.Eval, evals.EvalBody, refusals=(409, 422, 503)),
    "list_evals": Operation(Page[evals.Eval], query=queries.EvalQuery),
    "get_eval": Operation(evals.Eval),
    "change_eval": Operation(evals.Eval, evals.ChangedEvalBody, refusals=(503,)),
    "delete_eval": Operation(evals.DeletedEval, refusals=(503,)),
    "create_eval_run": Operation(evals.EvalRun, evals.EvalRunBody, refusals=(422, 429, *NEIGHBOUR)),
    "list_eval_runs": Operation(Page[evals.EvalRun], query=queries.EvalRunQuery),
    "get_eval_run": Operation(evals.EvalRun),
    "cancel_eval_run": Operation(evals.EvalRun, refusals=STEER),
    "delete_eval_run": Operation(evals.DeletedEvalRun, refusals=(409, 503)),
    "list_eval_items": Operation(
        Page[evals.EvalOutputItem], refusals=(503,), query=queries.EvalRunQuery
    ),
    "get_eval_item": Operation(evals.EvalOutputItem, refusals=(503,)),
    "create_batch": Operation(batches.Batch, batches.BatchBody, refusals=(422, *ORDER)),
    "list_batches": Operation(Page[batches.Batch]),
    "get_batch": Operation(batches.Batch),
    "cancel_batch": Operation(batches.Batch, refusals=STEER),
    "register_webhook": Operation(webhooks.RegisteredWebhook, webhooks.WebhookBody, refusals=HOOK),
    "list_webhooks": Operation(Page[webhooks.Webhook], refusals=(409,)),
    "get_webhook": Operation(webhooks.Webhook, refusals=(409,)),
    "change_webhook": Operation(webhooks.Webhook, webhooks.ChangedWebhookBody, refusals=HOOK),
    "delete_webhook": Operation(Deleted, refusals=HOOK),
    "rotate_webhook": Operation(webhooks.RotatedWebhook, refusals=HOOK),
    "test_webhook": Operation(webhooks.WebhookTest, status=202, refusals=HOOK),
    "list_webhook_deliveries": Operation(Page[webhooks.WebhookDelivery], refusals=(409,)),
    "list_changes": Operation(Page[keys.Change]),
    "issue_key": Operation(keys.IssuedApiKey, keys.KeyBody, status=201, refusals=HOOK),
    "list_keys": Operation(Page[keys.ApiKey]),
    "get_key": Operation(keys.ShownApiKey),
    "change_key": Operation(keys.ApiKey, keys.ChangedKeyBody, refusals=HOOK),
    "revoke_key": Operation(Deleted, refusals=HOOK),
    "rotate_key": Operation(keys.IssuedApiKey, refusals=HOOK),
    "get_status": Operation(tenants.SystemStatus),
    "get_capacity": Operation(capacity.CapacityReport),
    "list_findings": Operation(WholeList[findings.ReportedFinding]),
    "list_alerts": Operation(WholeList[alerts.Alert], refusals=(409, 503)),
    "register_tenant": Operation(tenants.Tenant, tenants.TenantBody, status=201, refusals=(503,)),
    "list_tenants": Operation(Page[tenants.Tenant]),
    "get_tenant": Operation(tenants.Tenant),
    "limit_tenant": Operation(tenants.Tenant, keys.BudgetBody, refusals=HOOK),
    "suspend_tenant": Operation(tenants.Tenant, refusals=HOOK),
    "resume_tenant": Operation(tenants.Tenant, refusals=HOOK),
    "export_tenant": Operation(None, refusals=NEIGHBOUR),
    "delete_tenant": Operation(tenants.Tenant, status=202, refusals=HOOK),
}
"""By the names of the route table."""
