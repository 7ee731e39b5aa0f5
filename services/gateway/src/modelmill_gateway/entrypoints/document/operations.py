"""What each route of the table takes and gives: the table behind the API document."""

from typing import Any

from pydantic import BaseModel

from modelmill_gateway.entrypoints.bodies.alias_body import AliasBody
from modelmill_gateway.entrypoints.bodies.chat_body import ChatBody, GenerateBody
from modelmill_gateway.entrypoints.bodies.completion_body import CompletionBody
from modelmill_gateway.entrypoints.bodies.dataset_body import DatasetBody, PreviewBody
from modelmill_gateway.entrypoints.bodies.evaluation_body import EvaluationBody
from modelmill_gateway.entrypoints.bodies.fine_tuning_body import FineTuningBody
from modelmill_gateway.entrypoints.bodies.message_body import CountedBody, MessagesBody
from modelmill_gateway.entrypoints.bodies.response_body import ResponseBody
from modelmill_gateway.entrypoints.document import batch_answers as batches
from modelmill_gateway.entrypoints.document import checkpoint_answers as checkpoints
from modelmill_gateway.entrypoints.document import dataset_answers as datasets
from modelmill_gateway.entrypoints.document import evaluation_examples as evaluations
from modelmill_gateway.entrypoints.document import examples as e
from modelmill_gateway.entrypoints.document import job_answers as jobs
from modelmill_gateway.entrypoints.document import message_answers as messages
from modelmill_gateway.entrypoints.document import model_answers as models
from modelmill_gateway.entrypoints.document import moderation_answers as moderations
from modelmill_gateway.entrypoints.document import response_answers as responses
from modelmill_gateway.entrypoints.document import text_answers as texts
from modelmill_gateway.entrypoints.document import upload_answers as uploads
from modelmill_gateway.entrypoints.document.eval_operations import EVAL_OPERATIONS
from modelmill_gateway.entrypoints.document.operation import Body, Operation
from modelmill_gateway.entrypoints.http.batches import BatchBody
from modelmill_gateway.entrypoints.http.embeddings import EmbeddingBody
from modelmill_gateway.entrypoints.http.moderations import ModerationBody
from modelmill_gateway.entrypoints.http.optimizations import OptimizationBody
from modelmill_gateway.entrypoints.http.uploads import CompleteUploadBody, UploadBody
from modelmill_gateway.entrypoints.schemas import audit, feedback, keys, policies, usage, webhooks
from modelmill_gateway.entrypoints.schemas.base import Deleted, Page, WholeList

NEIGHBOUR = (503, 504)
TEXT = (404, 409, 429, *NEIGHBOUR)
ORDER = (404, 429, *NEIGHBOUR)
STEER = (409, *NEIGHBOUR)
HOOK = (409, *NEIGHBOUR)

GENERATE = Body(GenerateBody, {"prompt": "espresso: strong black coffee", "max_length": 16})
MODERATION = Body(ModerationBody, {"input": ["how do I pick a lock?"]})
ALIAS = Body(AliasBody, {"version_id": e.VERSION})
TUNING_EVENT = e.job_event("fine_tuning.job.event")


def _steered(answer: type[BaseModel], example: dict[str, Any]) -> Operation:
    return Operation(answer, example, refusals=STEER)


OPERATIONS = {
    "index": Operation(None, {}),
    "reference": Operation(None, {}),
    "health": Operation(texts.Health, {"status": "ok"}, refusals=(503,)),
    "ready": Operation(texts.Health, {"status": "ok"}, refusals=(503,)),
    "openapi": Operation(None, {}),
    "asyncapi": Operation(None, e.ASYNCAPI),
    "generate": Operation(texts.GeneratedText, {"text": "beverage"}, GENERATE, refusals=TEXT),
    "chat": Operation(
        texts.ChatCompletion,
        e.CHAT_ANSWER,
        Body(ChatBody, e.CHAT),
        events=texts.ChatCompletionChunk,
        refusals=TEXT,
    ),
    "complete": Operation(
        texts.Completion,
        e.COMPLETION_ANSWER,
        Body(CompletionBody, e.COMPLETION),
        events=texts.Completion,
        refusals=TEXT,
    ),
    "respond": Operation(
        responses.Response,
        responses.RESPONSE,
        Body(ResponseBody, responses.BODY),
        events=responses.ResponseEvent,
        refusals=TEXT,
    ),
    "count_tokens": Operation(
        messages.CountedTokens,
        {"input_tokens": 21},
        Body(CountedBody, messages.COUNTED),
        refusals=TEXT,
    ),
    "messages": Operation(
        messages.Message,
        messages.MESSAGE,
        Body(MessagesBody, messages.BODY),
        events=messages.MessageEvent,
        refusals=TEXT,
    ),
    "embed": Operation(
        texts.EmbeddingList,
        e.EMBEDDING_ANSWER,
        Body(EmbeddingBody, {"model": e.MODEL, "input": ["espresso", "oak"]}),
        refusals=TEXT,
    ),
    "moderate": Operation(
        moderations.Moderation, moderations.MODERATION, MODERATION, refusals=(429, *NEIGHBOUR)
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
    "list_models": Operation(
        models.ModelList, {"object": "list", "data": [e.MODEL_ALIAS, e.MODEL_VERSION]}
    ),
    "get_model": Operation(models.AnyModel, e.MODEL_VERSION),
    "delete_model": Operation(
        models.DeletedModel,
        {**e.deleted("model", e.VERSION), "version_ids": [e.VERSION]},
        refusals=STEER,
    ),
    "list_aliases": Operation(
        models.AliasList, {"object": "list", "data": [e.ALIAS], "has_more": False}
    ),
    "move_alias": Operation(models.Alias, e.ALIAS, ALIAS, refusals=STEER),
    "delete_alias": Operation(Deleted, e.deleted("alias", "kinds"), refusals=STEER),
    "upload_file": Operation(models.File, e.FILE_ANSWER, refusals=(429, *NEIGHBOUR)),
    "list_files": Operation(models.FilePage, e.page(e.FILE_ANSWER), refusals=NEIGHBOUR),
    "get_file": Operation(models.File, e.FILE_ANSWER, refusals=NEIGHBOUR),
    "delete_file": Operation(Deleted, e.deleted("file", e.FILE), refusals=STEER),
    "get_content": Operation(None, {}, refusals=NEIGHBOUR),
    "begin_upload": Operation(
        uploads.Upload,
        uploads.UPLOAD,
        Body(UploadBody, uploads.UPLOAD_BODY),
        refusals=(429, *NEIGHBOUR),
    ),
    "add_upload_part": Operation(uploads.UploadPart, uploads.PART, refusals=(422, 429, *NEIGHBOUR)),
    "complete_upload": Operation(
        uploads.Upload,
        uploads.COMPLETED,
        Body(CompleteUploadBody, {"part_ids": [uploads.PART_ID]}),
        refusals=(429, *NEIGHBOUR),
    ),
    "cancel_upload": Operation(uploads.Upload, uploads.CANCELLED, refusals=NEIGHBOUR),
    "preview_dataset": Operation(
        uploads.DatasetPreview,
        uploads.PREVIEW,
        Body(PreviewBody, {**e.DATASET_BODY, "rows": 2}),
        refusals=(404, *NEIGHBOUR),
    ),
    "create_dataset": Operation(
        models.AcceptedDataset,
        e.ACCEPTED_DATASET,
        Body(DatasetBody, e.DATASET_BODY),
        202,
        refusals=ORDER,
    ),
    "list_datasets": Operation(models.DatasetPage, e.page(e.DATASET_ANSWER)),
    "get_dataset": Operation(models.Dataset, e.DATASET_ANSWER),
    "delete_dataset": Operation(Deleted, e.deleted("dataset", e.DATASET), refusals=STEER),
    "explain_row": Operation(datasets.ExplainedRow, e.EXPLAINED_ROW, refusals=(400, *NEIGHBOUR)),
    "diff_datasets": Operation(datasets.DatasetDiff, e.DATASET_DIFF, refusals=(400, *NEIGHBOUR)),
    "get_report": Operation(None, {}, refusals=(400, *NEIGHBOUR)),
    "create_fine_tuning": Operation(
        jobs.FineTuningJob,
        e.FINE_TUNING_JOB,
        Body(FineTuningBody, e.FINE_TUNING_BODY),
        refusals=ORDER,
    ),
    "list_fine_tuning": Operation(jobs.FineTuningJobPage, e.page(e.FINE_TUNING_JOB)),
    "get_fine_tuning": Operation(jobs.FineTuningJob, e.FINE_TUNING_JOB),
    "list_fine_tuning_events": Operation(
        jobs.JobEventPage, e.page(TUNING_EVENT), events=jobs.JobEvent, refusals=(422,)
    ),
    "list_fine_tuning_checkpoints": Operation(
        checkpoints.CheckpointPage, e.page(checkpoints.CHECKPOINT), refusals=(400,)
    ),
    "cancel_fine_tuning": _steered(
        jobs.FineTuningJob, {**e.FINE_TUNING_JOB, "desired_state": "cancel"}
    ),
    "pause_fine_tuning": _steered(
        jobs.FineTuningJob, {**e.FINE_TUNING_JOB, "desired_state": "pause"}
    ),
    "resume_fine_tuning": _steered(jobs.FineTuningJob, e.FINE_TUNING_JOB),
    "create_optimization": Operation(
        jobs.Optimization,
        e.OPTIMIZATION,
        Body(OptimizationBody, e.OPTIMIZATION_BODY),
        202,
        refusals=ORDER,
    ),
    "list_optimizations": Operation(jobs.OptimizationPage, e.page(e.OPTIMIZATION)),
    "get_optimization": Operation(jobs.Optimization, e.OPTIMIZATION),
    "cancel_optimization": _steered(
        jobs.Optimization, {**e.OPTIMIZATION, "desired_state": "cancel"}
    ),
    "create_evaluation": Operation(
        jobs.Evaluation,
        evaluations.EVALUATION,
        Body(EvaluationBody, evaluations.BODY),
        202,
        refusals=(409, *ORDER),
    ),
    "list_evaluations": Operation(jobs.EvaluationPage, e.page(evaluations.EVALUATION)),
    "get_evaluation": Operation(jobs.Evaluation, evaluations.EVALUATION),
    "get_evaluation_report": Operation(None, {}, refusals=(400, *NEIGHBOUR)),
    "cancel_evaluation": _steered(
        jobs.Evaluation, {**evaluations.EVALUATION, "status": "running", "desired_state": "cancel"}
    ),
    "list_jobs": Operation(jobs.JobPage, e.page(e.JOB_ANSWER)),
    "get_job": Operation(jobs.Job, e.JOB_ANSWER),
    "list_job_events": Operation(
        jobs.JobEventPage, e.page(e.job_event("job.event")), events=jobs.JobEvent, refusals=(422,)
    ),
    "cancel_job": _steered(jobs.Job, {**e.JOB_ANSWER, "desired_state": "cancel"}),
    "pause_job": _steered(jobs.Job, {**e.JOB_ANSWER, "desired_state": "pause"}),
    "resume_job": _steered(jobs.Job, e.JOB_ANSWER),
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
    "cancel_batch": _steered(batches.Batch, {**batches.BATCH, "status": "cancelling"}),
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
