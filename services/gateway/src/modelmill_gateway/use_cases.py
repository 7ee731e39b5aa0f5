"""Everything that callers can do, made once and handed to both servers, HTTP and gRPC."""

from dataclasses import dataclass

from modelmill_gateway.answers.answer_chat import AnswerChat, CountPrompt
from modelmill_gateway.answers.embed_texts import EmbedTexts, JudgeTexts
from modelmill_gateway.batches.create_batch import CreateBatch
from modelmill_gateway.evals.create_eval_run import CreateEvalRun
from modelmill_gateway.evals.manage_evals import ManageEvals, ShowEvalRuns
from modelmill_gateway.guarding.manage_policy import ManagePolicy
from modelmill_gateway.guarding.record_feedback import RecordFeedback
from modelmill_gateway.identity.manage_keys import ManageKeys
from modelmill_gateway.identity.record_changes import RecordChanges
from modelmill_gateway.identity.require_models import RequireModels
from modelmill_gateway.ordering.control_job import ControlJob
from modelmill_gateway.ordering.create_dataset import CreateDataset
from modelmill_gateway.ordering.create_evaluation import CreateEvaluation
from modelmill_gateway.ordering.create_fine_tuning_job import CreateFineTuningJob
from modelmill_gateway.ordering.create_optimization import CreateOptimization
from modelmill_gateway.ordering.delete_dataset import DeleteDataset
from modelmill_gateway.ordering.delete_file import DeleteFile
from modelmill_gateway.ordering.find_file import FindFile
from modelmill_gateway.ordering.show_datasets import ShowDatasets
from modelmill_gateway.ordering.watch_job import EventIds, WatchJob
from modelmill_gateway.routing.delete_model import DeleteModel
from modelmill_gateway.routing.move_alias import MoveAlias
from modelmill_gateway.routing.show_models import ShowModels
from modelmill_gateway.spending.manage_budget import ManageBudget
from modelmill_gateway.spending.show_usage import ShowUsage
from modelmill_gateway.webhooks.change_webhook import ChangeWebhook, RegisterWebhook
from modelmill_gateway.webhooks.tell_webhooks import TellWebhooks
from modelmill_gateway.webhooks.webhook_book import WebhookBook, WebhookLog


@dataclass(frozen=True)
class Webhooks:
    """What callers can do, and what there is to see."""

    register: RegisterWebhook
    change: ChangeWebhook
    tell: TellWebhooks
    book: WebhookBook
    attempts: WebhookLog


@dataclass(frozen=True)
class UseCases:
    """What the servers have in common: a rule that stands in one stands in the other."""

    require_models: RequireModels
    answer_chat: AnswerChat
    count_prompt: CountPrompt
    embed_texts: EmbedTexts
    judge_texts: JudgeTexts
    manage_budget: ManageBudget
    manage_keys: ManageKeys
    manage_policy: ManagePolicy
    record_changes: RecordChanges
    record_feedback: RecordFeedback
    show_models: ShowModels
    move_alias: MoveAlias
    delete_model: DeleteModel
    delete_file: DeleteFile
    find_file: FindFile
    create_dataset: CreateDataset
    show_datasets: ShowDatasets
    delete_dataset: DeleteDataset
    create_fine_tuning_job: CreateFineTuningJob
    create_optimization: CreateOptimization
    create_evaluation: CreateEvaluation
    create_batch: CreateBatch
    manage_evals: ManageEvals
    create_eval_run: CreateEvalRun
    show_eval_runs: ShowEvalRuns
    show_usage: ShowUsage
    control_job: ControlJob
    watch_job: WatchJob
    event_ids: EventIds
    webhooks: Webhooks | None
    """None where the operator gave no key for their secrets."""
