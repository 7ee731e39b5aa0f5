"""Every use case with what it needs: the one place where parts of the gateway are put together.

What a use case is made of comes as `Parts`, which `main` opens and closes.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from google.protobuf.message import Message
from modelmill.gateway.v1.gateway_jobs_pb2 import BatchSpec, EvalRunSpec
from modelmill_audit.trail import AuditTrail
from modelmill_bus.bus import Bus
from modelmill_bus.kinds import BATCH, DATASET, EVALUATE, OPTIMIZE, prefix_of
from modelmill_job_index.index import Announcements, JobWatcher
from modelmill_jobs.process_capacity import ProcessCapacity
from modelmill_registry.store import store_of
from modelmill_service_kit.errors import UnavailableError
from modelmill_service_kit.work_apart import WorkApart

from modelmill_gateway.adapters.background import Background
from modelmill_gateway.adapters.capacity import OwnWorker
from modelmill_gateway.adapters.peers import OwnJobs, OwnOrders, Peers
from modelmill_gateway.adapters.usage import UsageQueue
from modelmill_gateway.adapters.webhook_sender import WebhookSender, threaded_lookups
from modelmill_gateway.answers.admission_queue import AdmissionQueue
from modelmill_gateway.answers.answer_chat import AnswerChat, CountPrompt
from modelmill_gateway.answers.embed_texts import EmbedTexts, JudgeTexts
from modelmill_gateway.batches.create_batch import CreateBatch
from modelmill_gateway.domain.admission import Admission
from modelmill_gateway.domain.ledger.budget import Prices
from modelmill_gateway.domain.secret_vault import SecretVault
from modelmill_gateway.domain.webhooks import Schedule
from modelmill_gateway.evals.manage_evals import PREFIX as EVAL_RUN_PREFIX
from modelmill_gateway.evals.manage_evals import CreateEvalRun, ManageEvals, ShowEvalRuns
from modelmill_gateway.experiments.manage_experiments import ManageExperiments
from modelmill_gateway.experiments.run_experiments import RunExperiments
from modelmill_gateway.experiments.steer_experiment import SteerExperiment
from modelmill_gateway.guarding.judge_inputs import AskJudges, CircuitBreakerModeration, JudgeInputs
from modelmill_gateway.guarding.policy_book import ManagePolicy
from modelmill_gateway.guarding.record_feedback import RecordFeedback
from modelmill_gateway.identity.manage_keys import ManageKeys
from modelmill_gateway.identity.record_changes import RecordChanges
from modelmill_gateway.identity.require_models import RequireModels
from modelmill_gateway.metrics import TOKENS_IN_HAND, TOKENS_LIMIT
from modelmill_gateway.ordering.compare_jobs import CompareJobs
from modelmill_gateway.ordering.control_job import ControlJob
from modelmill_gateway.ordering.create_fine_tuning_job import CreateFineTuningJob
from modelmill_gateway.ordering.estimate_build import EstimateBuild
from modelmill_gateway.ordering.estimate_evaluation import EstimateEvaluation
from modelmill_gateway.ordering.estimate_training import EstimateTraining
from modelmill_gateway.ordering.find_file import FindFile
from modelmill_gateway.ordering.fine_tuning_order import ResolveFineTuning
from modelmill_gateway.ordering.manage_datasets import ManageDatasets
from modelmill_gateway.ordering.order_job import CreateJob, OrderJob, PendingJobQuota, ResolveSpecs
from modelmill_gateway.ordering.read_job_metrics import ReadJobMetrics
from modelmill_gateway.ordering.watch_job import SealedEventIds, WatchJob
from modelmill_gateway.ports import AlertSource, JobOwner, SignInSource
from modelmill_gateway.read_models import ReadModels
from modelmill_gateway.request_log.log_exchanges import LogExchanges
from modelmill_gateway.request_log.read_log import ReadLog
from modelmill_gateway.routing.compare_forms import CompareForms
from modelmill_gateway.routing.find_model import FindModel
from modelmill_gateway.routing.move_alias import DeleteAlias, DeleteModel, MoveAlias
from modelmill_gateway.routing.read_model_card import ReadModelCard
from modelmill_gateway.routing.routed_engines import RoutedEngines, ShadowAnswers
from modelmill_gateway.routing.show_models import ShowModels
from modelmill_gateway.settings import Settings
from modelmill_gateway.spending.budget_book import ManageBudget
from modelmill_gateway.spending.quotas import PriceOfModel, Quotas
from modelmill_gateway.spending.show_usage import ShowUsage
from modelmill_gateway.tenants.delete_tenants import DeleteTenants
from modelmill_gateway.tenants.export_tenant import ExportTenant
from modelmill_gateway.tenants.find_problems import FindProblems
from modelmill_gateway.tenants.manage_tenants import ManageTenants
from modelmill_gateway.tenants.show_alerts import ShowAlerts
from modelmill_gateway.tenants.show_capacity import ShowCapacity
from modelmill_gateway.tenants.show_status import ShowStatus
from modelmill_gateway.webhooks.change_webhook import (
    ManageWebhooks,
    Webhooks,
)
from modelmill_gateway.webhooks.deliver_webhooks import AttemptDelivery, DeliverWebhooks
from modelmill_gateway.webhooks.tell_webhooks import Facts, TellWebhooks
from modelmill_gateway.webhooks.webhook_book import WebhookBook, WebhookLog

REPLAY_SECONDS = 60.0
"""How long the list of webhooks may take to be read."""


@dataclass(frozen=True)
class Parts:
    """Resources that are open while the gateway serves."""

    settings: Settings
    bus: Bus
    known: ReadModels
    peers: Peers
    usage: UsageQueue
    log: LogExchanges | None
    read_log: ReadLog | None
    shadows: ShadowAnswers
    audit: AuditTrail
    watcher: JobWatcher
    webhooks: Webhooks | None
    record_changes: RecordChanges
    record_feedback: RecordFeedback
    quotas: Quotas
    admission: Admission
    alerts: AlertSource | None
    sign_in: SignInSource
    work: WorkApart


class UseCases:
    """Everything that callers can do, made once for both servers: a rule holds for both."""

    def __init__(self, parts: Parts) -> None:
        settings, known, peers = parts.settings, parts.known, parts.peers
        find_model = FindModel(
            known.aliases,
            known.models,
            known.default_builds,
            known.fresh_models,
            settings.default_model,
        )
        self.require_models = RequireModels(known.jobs, known.evals, settings.default_model)
        self.manage_budget = ManageBudget(known.budgets)
        self.manage_keys = ManageKeys(
            known.keys, known.budgets, time.time, can_log=parts.log is not None
        )
        self.manage_policy = ManagePolicy(peers.policies, known.policies)
        self.record_changes = parts.record_changes
        self.record_feedback = parts.record_feedback
        self.show_usage = ShowUsage(known.usage)
        self.read_log = parts.read_log
        self.webhooks = parts.webhooks
        self._name(parts, find_model)
        self.read_job_metrics = ReadJobMetrics(known.jobs, peers.trainer)
        self.compare_jobs = CompareJobs(known.jobs, known.datasets, self.read_job_metrics)
        self.find_file = FindFile(peers.data_prep, known.jobs, peers.trainer)
        self._experiment(parts)
        self._operate(parts)
        self._answer(parts, find_model)
        self._order(parts, find_model)

    def _name(self, parts: Parts, find_model: FindModel) -> None:
        """Models, and the names that mean them."""
        settings, known, peers = parts.settings, parts.known, parts.peers
        self.show_models = ShowModels(
            find_model, known.aliases, known.models, known.default_builds, known.served
        )
        self.compare_forms = CompareForms(self.show_models, known.models, known.jobs)
        self.read_model_card = ReadModelCard(
            self.show_models, known.models, partial(store_of, settings)
        )
        self.move_alias = MoveAlias(
            find_model,
            peers.engines,
            known.aliases,
            settings.load_seconds,
            can_log=parts.log is not None,
        )
        self.delete_alias = DeleteAlias(known.aliases, known.fresh_models)
        self.delete_model = DeleteModel(
            peers.trainer, known.models, self.delete_alias, known.fresh_models
        )

    def _experiment(self, parts: Parts) -> None:
        bus, known = parts.bus, parts.known
        steer = SteerExperiment(known.experiments, known.aliases)
        self.manage_experiments = ManageExperiments(
            bus, known.experiments, known.aliases, self.move_alias, steer
        )
        seconds = parts.settings.experiment_seconds
        self.run_experiments = RunExperiments(bus, known.experiments, steer, seconds)

    def _operate(self, parts: Parts) -> None:
        """What operators do with the installation."""
        settings, known, peers = parts.settings, parts.known, parts.peers
        self.manage_tenants = ManageTenants(
            known.tenants,
            known.budgets,
            (known.budgets, known.keys, known.jobs, known.models, known.datasets, known.evals),
        )
        self.export_tenant = ExportTenant(
            parts.bus,
            known.models,
            known.datasets,
            known.jobs,
            self.manage_tenants,
            peers.data_prep,
            partial(store_of, settings),
        )
        self.show_status = ShowStatus(parts.bus, known.jobs, peers.probes, parts.admission)
        self.capacity = ProcessCapacity(settings.artifact_disk)
        self.show_capacity = ShowCapacity(
            parts.bus,
            known.jobs,
            [OwnWorker(self.capacity), *peers.workers],
            peers.replicas,
            parts.admission,
        )
        self.find_problems = FindProblems(parts.bus, peers.probes)
        self.show_alerts = ShowAlerts(parts.alerts)

    def _order(self, parts: Parts, find_model: FindModel) -> None:
        """Jobs of every kind, and what they are made from."""
        settings, known, peers = parts.settings, parts.known, parts.peers
        order_job = OrderJob(known.jobs, PendingJobQuota(known.jobs, settings.max_waiting_jobs))
        orders, resolve = peers.orders, ResolveSpecs(find_model)
        self.manage_datasets = ManageDatasets(
            known.datasets, known.jobs, known.fresh_datasets, peers.data_prep
        )
        self.create_dataset = CreateJob(DATASET, orders.datasets, resolve.dataset, order_job)
        self.create_optimization = CreateJob(OPTIMIZE, orders.builds, resolve.build, order_job)
        self.create_evaluation = CreateJob(
            EVALUATE, orders.evaluations, resolve.evaluation, order_job
        )
        resolve_training = ResolveFineTuning(
            find_model, self.manage_datasets, known.datasets, known.jobs
        )
        self.create_fine_tuning_job = CreateFineTuningJob(
            orders.training, orders.datasets, resolve_training, order_job
        )
        self._estimate(parts, find_model, resolve, resolve_training)
        batches: OwnOrders[BatchSpec] = OwnOrders(parts.bus, BATCH, prefix_of(BATCH))
        runs: OwnOrders[EvalRunSpec] = OwnOrders(parts.bus, BATCH, EVAL_RUN_PREFIX)
        evals = self.manage_evals = ManageEvals(known.evals)
        self.create_batch = CreateBatch(peers.data_prep, batches, order_job)
        self.create_eval_run = CreateEvalRun(evals, peers.data_prep, find_model, runs, order_job)
        self.show_eval_runs = ShowEvalRuns(evals, known.jobs, partial(store_of, settings))
        owners: dict[str, JobOwner] = {**peers.job_owners, BATCH: OwnJobs(parts.bus)}
        self.control_job = ControlJob(owners, known.jobs, known.datasets, peers.data_prep)
        self.watch_job = WatchJob(parts.watcher, known.jobs, peers.trainer)
        self.delete_tenants = DeleteTenants(parts.bus, known.tenants, known.jobs, self.control_job)
        self.event_ids = SealedEventIds(settings.service_secret.get_secret_value())

    def _estimate(
        self,
        parts: Parts,
        find_model: FindModel,
        resolve: ResolveSpecs,
        resolve_training: ResolveFineTuning,
    ) -> None:
        """What jobs would take, before they are ordered."""
        known, trainer = parts.known, parts.peers.trainer
        self.estimate_training = EstimateTraining(
            trainer, resolve_training, parts.peers.data_prep, known.datasets, known.jobs
        )
        self.estimate_evaluation = EstimateEvaluation(trainer, resolve, find_model, known.jobs)
        self.estimate_build = EstimateBuild(parts.peers.builder, resolve, known.models, known.jobs)

    def _answer(self, parts: Parts, find_model: FindModel) -> None:
        """All that asks inference or judges: by one queue, one circuit breaker, one price list."""
        settings, known, peers = parts.settings, parts.known, parts.peers
        queue, seconds = AdmissionQueue(parts.admission), settings.request_seconds
        price_of = PriceOfModel(Prices(settings.prices), find_model)
        moderation = CircuitBreakerModeration(peers.moderation, settings.moderation_seconds)
        policies, audit, work = known.policies, parts.audit, parts.work
        judge_inputs = JudgeInputs(
            moderation, policies, audit, work, here_chars=settings.rules_here_chars
        )
        self.answer_chat = AnswerChat(
            quotas=parts.quotas,
            queue=queue,
            find_model=find_model,
            moderation=judge_inputs,
            engines=RoutedEngines(peers.engines, parts.shadows),
            policies=policies,
            judges=AskJudges(moderation),
            audit=audit,
            usage=parts.usage,
            work=work,
            price_of=price_of,
            request_seconds=seconds,
            most_tokens=settings.ledger_answer_tokens,
            log=parts.log,
        )
        self.embed_texts = EmbedTexts(
            parts.quotas,
            queue,
            find_model,
            judge_inputs,
            peers.engines,
            parts.usage,
            price_of,
            seconds,
        )
        self.count_prompt = CountPrompt(queue, find_model, peers.engines, seconds)
        self.judge_texts = JudgeTexts(parts.quotas, queue, judge_inputs, seconds)


def admission_of(settings: Settings) -> Admission:
    """How much this process may have in hand."""
    admission = Admission(
        settings.tokens_in_hand,
        settings.admission_seconds,
        clock=time.monotonic,
        jitter=random.random,
    )
    TOKENS_IN_HAND.set_function(lambda: admission.tokens)
    TOKENS_LIMIT.set(settings.tokens_in_hand)
    return admission


@asynccontextmanager
async def open_webhooks(
    bus: Bus,
    stopping: asyncio.Event,
    *,
    vault: SecretVault,
    schedule: Schedule,
    facts: Mapping[type[Message], Facts],
    announcements: Announcements,
    allow_private: bool,
) -> AsyncIterator[Webhooks]:
    """Tell and deliver in the background, once it is known which endpoints there are.

    Raises:
        UnavailableError: the endpoints could not be read within a minute.
    """
    async with AsyncExitStack() as stack:
        book, attempts = WebhookBook(bus), WebhookLog(bus)
        resolve = await stack.enter_async_context(threaded_lookups())
        sender = WebhookSender(resolve, allow_private=allow_private)
        stack.push_async_callback(sender.close)
        # Of our own, so that no attempt is in hand when the sender is closed.
        background = await stack.enter_async_context(Background(stopping))
        await _follow_webhooks(background, book, attempts)
        tell = TellWebhooks(bus, book, facts, announcements)
        attempt = AttemptDelivery(bus, book, attempts, vault, sender, schedule)
        background.start(tell.run(stopping))
        background.start(DeliverWebhooks(bus, attempts, attempt).run(stopping))
        yield Webhooks(
            ManageWebhooks(bus, book, vault, sender),
            tell,
            book,
            attempts,
        )


async def _follow_webhooks(background: Background, book: WebhookBook, attempts: WebhookLog) -> None:
    """Returns once both know what the bus has stored."""
    background.start(book.run())
    background.start(attempts.run())
    try:
        async with asyncio.timeout(REPLAY_SECONDS):
            await book.ready.wait()
            await attempts.ready.wait()
    except TimeoutError as error:
        raise UnavailableError("the webhooks could not be read to their end") from error
