"""What each route of the table takes and gives: the table behind the API document."""

from modelmill_gateway.entrypoints.document import batch_answers as batches
from modelmill_gateway.entrypoints.document import examples as e
from modelmill_gateway.entrypoints.document.eval_operations import EVAL_OPERATIONS
from modelmill_gateway.entrypoints.document.operation import Body, Operation
from modelmill_gateway.entrypoints.http.batches import BatchBody
from modelmill_gateway.entrypoints.schemas import (
    audit,
    chat,
    completions,
    datasets,
    embeddings,
    evaluations,
    feedback,
    files,
    fine_tuning,
    jobs,
    keys,
    messages,
    models,
    moderations,
    optimizations,
    policies,
    responses,
    usage,
    webhooks,
)
from modelmill_gateway.entrypoints.schemas.base import Deleted, Health, Page, WholeList

NEIGHBOUR = (503, 504)
TEXT = (404, 409, 429, *NEIGHBOUR)
ORDER = (404, 429, *NEIGHBOUR)
STEER = (409, *NEIGHBOUR)
HOOK = (409, *NEIGHBOUR)

ASYNCAPI = {
    "asyncapi": "3.0.0",
    "info": {"title": "Modelmill: facts about jobs and models", "version": "1"},
    "channels": {"model.ready": {"address": "model.ready"}},
}

OPERATIONS = {
    "index": Operation(None),
    "reference": Operation(None),
    "health": Operation(Health, refusals=(503,)),
    "ready": Operation(Health, refusals=(503,)),
    "openapi": Operation(None),
    "asyncapi": Operation(None, ASYNCAPI),
    "generate": Operation(chat.GeneratedText, body=Body(chat.GenerateBody), refusals=TEXT),
    "chat": Operation(
        chat.ChatCompletion,
        body=Body(chat.ChatBody),
        events=chat.ChatCompletionChunk,
        refusals=TEXT,
    ),
    "complete": Operation(
        completions.Completion,
        body=Body(completions.CompletionBody),
        events=completions.Completion,
        refusals=TEXT,
    ),
    "respond": Operation(
        responses.Response,
        body=Body(responses.ResponseBody),
        events=responses.ResponseEvent,
        refusals=TEXT,
    ),
    "count_tokens": Operation(
        messages.CountedTokens, body=Body(messages.CountedBody), refusals=TEXT
    ),
    "messages": Operation(
        messages.Message,
        body=Body(messages.MessagesBody),
        events=messages.MessageEvent,
        refusals=TEXT,
    ),
    "embed": Operation(
        embeddings.EmbeddingList, body=Body(embeddings.EmbeddingBody), refusals=TEXT
    ),
    "moderate": Operation(
        moderations.Moderation,
        body=Body(moderations.ModerationBody),
        refusals=(429, *NEIGHBOUR),
    ),
    "record_feedback": Operation(
        feedback.RecordedFeedback, body=Body(feedback.FeedbackBody), refusals=(404, 503)
    ),
    "list_feedback": Operation(Page[feedback.FeedbackRecord], refusals=(503,)),
    "get_feedback": Operation(feedback.FeedbackRecord, refusals=(503,)),
    "get_policy": Operation(policies.Policy, refusals=(400, 404, *NEIGHBOUR)),
    "put_policy": Operation(policies.PolicyChange, body=Body(policies.PolicyBody), refusals=STEER),
    "list_policies": Operation(WholeList[policies.PolicyVersion], refusals=NEIGHBOUR),
    "revert_policy": Operation(
        policies.PolicyReverted, body=Body(policies.RevertBody), refusals=(404, *STEER)
    ),
    "list_models": Operation(models.ModelList),
    "get_model": Operation(models.AnyModel),
    "delete_model": Operation(models.DeletedModel, refusals=STEER),
    "list_aliases": Operation(WholeList[models.Alias]),
    "move_alias": Operation(models.Alias, body=Body(models.AliasBody), refusals=STEER),
    "delete_alias": Operation(Deleted, refusals=STEER),
    "upload_file": Operation(files.File, refusals=(429, *NEIGHBOUR)),
    "list_files": Operation(Page[files.File], refusals=NEIGHBOUR),
    "get_file": Operation(files.File, refusals=NEIGHBOUR),
    "delete_file": Operation(Deleted, refusals=STEER),
    "get_content": Operation(None, refusals=NEIGHBOUR),
    "begin_upload": Operation(
        files.Upload, body=Body(files.UploadBody), refusals=(429, *NEIGHBOUR)
    ),
    "add_upload_part": Operation(files.UploadPart, refusals=(422, 429, *NEIGHBOUR)),
    "complete_upload": Operation(
        files.Upload, body=Body(files.CompleteUploadBody), refusals=(429, *NEIGHBOUR)
    ),
    "cancel_upload": Operation(files.Upload, refusals=NEIGHBOUR),
    "preview_dataset": Operation(
        datasets.DatasetPreview, body=Body(datasets.PreviewBody), refusals=(404, *NEIGHBOUR)
    ),
    "create_dataset": Operation(
        datasets.AcceptedDataset, body=Body(datasets.DatasetBody), status=202, refusals=ORDER
    ),
    "list_datasets": Operation(Page[datasets.Dataset]),
    "get_dataset": Operation(datasets.Dataset),
    "delete_dataset": Operation(Deleted, refusals=STEER),
    "explain_row": Operation(datasets.ExplainedRow, refusals=(400, *NEIGHBOUR)),
    "diff_datasets": Operation(datasets.DatasetDiff, refusals=(400, *NEIGHBOUR)),
    "get_report": Operation(None, refusals=(400, *NEIGHBOUR)),
    "create_fine_tuning": Operation(
        fine_tuning.FineTuningJob, body=Body(fine_tuning.FineTuningBody), refusals=ORDER
    ),
    "list_fine_tuning": Operation(Page[fine_tuning.FineTuningJob]),
    "get_fine_tuning": Operation(fine_tuning.FineTuningJob),
    "list_fine_tuning_events": Operation(
        Page[jobs.JobEvent], events=jobs.JobEvent, refusals=(422,)
    ),
    "list_fine_tuning_checkpoints": Operation(Page[fine_tuning.Checkpoint], refusals=(400,)),
    "cancel_fine_tuning": Operation(fine_tuning.FineTuningJob, refusals=STEER),
    "pause_fine_tuning": Operation(fine_tuning.FineTuningJob, refusals=STEER),
    "resume_fine_tuning": Operation(fine_tuning.FineTuningJob, refusals=STEER),
    "create_optimization": Operation(
        optimizations.Optimization,
        body=Body(optimizations.OptimizationBody),
        status=202,
        refusals=ORDER,
    ),
    "list_optimizations": Operation(Page[optimizations.Optimization]),
    "get_optimization": Operation(optimizations.Optimization),
    "cancel_optimization": Operation(optimizations.Optimization, refusals=STEER),
    "create_evaluation": Operation(
        evaluations.Evaluation,
        body=Body(evaluations.EvaluationBody),
        status=202,
        refusals=(409, *ORDER),
    ),
    "list_evaluations": Operation(Page[evaluations.Evaluation]),
    "get_evaluation": Operation(evaluations.Evaluation),
    "get_evaluation_report": Operation(None, refusals=(400, *NEIGHBOUR)),
    "cancel_evaluation": Operation(evaluations.Evaluation, refusals=STEER),
    "list_jobs": Operation(Page[jobs.Job]),
    "get_job": Operation(jobs.Job),
    "list_job_events": Operation(Page[jobs.JobEvent], events=jobs.JobEvent, refusals=(422,)),
    "cancel_job": Operation(jobs.Job, refusals=STEER),
    "pause_job": Operation(jobs.Job, refusals=STEER),
    "resume_job": Operation(jobs.Job, refusals=STEER),
    "get_budget": Operation(keys.Budget),
    "put_budget": Operation(keys.Budget, body=Body(keys.BudgetBody), refusals=HOOK),
    "get_usage": Operation(usage.UsagePage, refusals=(400, 503)),
    "get_organization_usage": Operation(usage.UsagePage, refusals=(400, 503)),
    **EVAL_OPERATIONS,
    "create_batch": Operation(
        batches.Batch, batches.BATCH, Body(BatchBody, batches.BODY), refusals=(422, *ORDER)
    ),
    "list_batches": Operation(batches.BatchPage, e.page(batches.BATCH)),
    "get_batch": Operation(batches.Batch, batches.BATCH),
    "cancel_batch": Operation(batches.Batch, batches.BATCH, refusals=STEER),
    "register_webhook": Operation(
        webhooks.RegisteredWebhook, body=Body(webhooks.WebhookBody), refusals=HOOK
    ),
    "list_webhooks": Operation(Page[webhooks.Webhook], refusals=(409,)),
    "get_webhook": Operation(webhooks.Webhook, refusals=(409,)),
    "change_webhook": Operation(
        webhooks.Webhook, body=Body(webhooks.ChangedWebhookBody), refusals=HOOK
    ),
    "delete_webhook": Operation(Deleted, refusals=HOOK),
    "rotate_webhook": Operation(webhooks.RotatedWebhook, refusals=HOOK),
    "test_webhook": Operation(webhooks.WebhookTest, status=202, refusals=HOOK),
    "list_webhook_deliveries": Operation(Page[webhooks.WebhookDelivery], refusals=(409,)),
    "list_changes": Operation(Page[audit.Change]),
    "issue_key": Operation(keys.IssuedApiKey, body=Body(keys.KeyBody), status=201, refusals=HOOK),
    "list_keys": Operation(Page[keys.ApiKey]),
    "get_key": Operation(keys.ShownApiKey),
    "change_key": Operation(keys.ApiKey, body=Body(keys.ChangedKeyBody), refusals=HOOK),
    "revoke_key": Operation(Deleted, refusals=HOOK),
    "rotate_key": Operation(keys.IssuedApiKey, refusals=HOOK),
}
"""By the names of the route table."""
