"""Gateway: the public API over HTTP and gRPC; every request passes token, policy and guard.

Follows jobs, models, datasets, aliases and policies on the bus, publishes usage.recorded, and
answers from what it knows when the bus is away.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx
import uvloop
from audit.trail import AuditTrail
from jobs.bus import Bus
from jobs.watching import JobWatcher
from modelmill.gateway.v1.gateway_service_pb2_grpc import add_GatewayServiceServicer_to_server
from service_kit.grpc_server import RpcServer
from service_kit.metrics import MetricsPage
from service_kit.mutual_tls import MutualTls
from service_kit.process import announce_ready, run_service

from gateway.adapters.background import Background
from gateway.adapters.feedback import FeedbackStream
from gateway.adapters.http_server import serve_http
from gateway.adapters.key_set import FileKeys, UrlKeys
from gateway.adapters.peers import Peers, open_peers
from gateway.adapters.read_models import ReadModels
from gateway.adapters.secret_vault import SecretVault
from gateway.adapters.tls import ServedCertificate, open_tls
from gateway.adapters.tokens import TokenVerifier
from gateway.adapters.usage import UsageQueue
from gateway.answer_chat import AnswerChat
from gateway.ask_judges import AskJudges
from gateway.control_job import ControlJob
from gateway.create_dataset import CreateDataset
from gateway.create_evaluation import CreateEvaluation
from gateway.create_fine_tuning_job import CreateFineTuningJob
from gateway.create_optimization import CreateOptimization
from gateway.delete_dataset import DeleteDataset
from gateway.delete_file import DeleteFile
from gateway.delete_model import DeleteModel
from gateway.domain.webhooks import Schedule
from gateway.embed_texts import EmbedTexts
from gateway.entrypoints.grpc.servicer import gateway_servicer
from gateway.entrypoints.http_gate import App
from gateway.entrypoints.http_routes import gateway_http_app
from gateway.entrypoints.webhook_views import FACTS
from gateway.find_model import FindModel
from gateway.judge_texts import JudgeTexts
from gateway.manage_policy import ManagePolicy
from gateway.move_alias import MoveAlias
from gateway.record_feedback import RecordFeedback
from gateway.rules_alone import RulesAlone
from gateway.settings import Settings
from gateway.show_datasets import ShowDatasets
from gateway.show_models import ShowModels
from gateway.spared_moderation import SparedModeration
from gateway.use_cases import UseCases
from gateway.waiting_room import WaitingRoom
from gateway.watch_job import WatchJob
from gateway.webhooks import Webhooks, open_webhooks

USAGE_DRAIN_SECONDS = 2.0


async def serve(settings: Settings, stopping: asyncio.Event) -> None:
    """Serve until `stopping`, then finish the answers in hand."""
    secret = settings.service_secret.get_secret_value()
    tls, identity = _tls(settings), settings.mutual_tls()
    async with AsyncExitStack() as stack:
        bus = await stack.enter_async_context(Bus.of(settings, name="gateway"))
        background = await stack.enter_async_context(Background(stopping))
        known = ReadModels(bus)
        await known.follow(background)
        usage = UsageQueue(bus, settings.usage_queue)
        background.start(usage.run())
        stack.push_async_callback(usage.drain, USAGE_DRAIN_SECONDS)
        audit = AuditTrail(bus, "gateway", settings.audit_queue)
        background.start(audit.run())
        stack.push_async_callback(audit.drain, USAGE_DRAIN_SECONDS)
        verifier = await stack.enter_async_context(_verifier(settings, background))
        peers = await stack.enter_async_context(_peers(settings, secret, identity))
        webhooks = await stack.enter_async_context(_webhooks(settings, bus, stopping))
        watcher = JobWatcher(bus, known.jobs)
        feedback = RecordFeedback(FeedbackStream(bus))
        use_cases = _use_cases(settings, known, peers, usage, audit, watcher, webhooks, feedback)
        servicer = gateway_servicer(
            *(use_cases, peers.data_prep, peers.dataset_stories, peers.evaluations),
            *(known.jobs, verifier),
            max_upload_bytes=settings.max_upload_bytes,
            stopping=stopping,
        )
        server = await stack.enter_async_context(_grpc_server(settings, servicer, tls))
        stack.enter_context(known.measured())
        page = stack.enter_context(MetricsPage(settings.metrics_address, secret))
        app = gateway_http_app(
            *(use_cases, peers.data_prep, peers.dataset_stories, peers.evaluations),
            *(known.jobs, verifier),
            settings=settings,
            stopping=stopping,
        )
        http_port = await stack.enter_async_context(_http_server(settings, app, tls))
        announce_ready(http=http_port, grpc=server.port, metrics=page.port)
        await stopping.wait()


def _tls(settings: Settings) -> ServedCertificate | None:
    doors = {
        "GATEWAY_HTTP_ADDRESS": settings.http_address,
        "GATEWAY_GRPC_ADDRESS": settings.grpc_address,
    }
    return open_tls(
        doors,
        settings.tls_certificate_path,
        settings.tls_key_path,
        plaintext_behind_proxy=settings.plaintext_behind_proxy,
    )


def _http_server(
    settings: Settings, app: App, tls: ServedCertificate | None
) -> AbstractAsyncContextManager[int]:
    return serve_http(
        app,
        settings.http_address,
        drain_seconds=settings.drain_seconds,
        tls=tls.ssl_context() if tls else None,
    )


def _grpc_server(settings: Settings, servicer: Any, tls: ServedCertificate | None) -> RpcServer:
    # Callers of this port are clients with tokens of their own, not services with the secret.
    server = RpcServer(
        settings.grpc_address,
        None,
        drain_seconds=settings.drain_seconds,
        credentials=tls.grpc_credentials() if tls else None,
    )
    add_GatewayServiceServicer_to_server(servicer, server.grpc)
    return server


def _peers(
    settings: Settings, secret: str, identity: MutualTls | None
) -> AbstractAsyncContextManager[Peers]:
    return open_peers(
        inference=settings.inference_address,
        moderation=settings.moderation_address,
        data_prep=settings.data_prep_address,
        trainer=settings.trainer_address,
        optimizer_builder=settings.optimizer_builder_address,
        secret=secret,
        identity=identity,
    )


def _use_cases(
    settings: Settings,
    known: ReadModels,
    peers: Peers,
    usage: UsageQueue,
    audit: AuditTrail,
    watcher: JobWatcher,
    webhooks: Webhooks | None,
    record_feedback: RecordFeedback,
) -> UseCases:
    find_model = FindModel(known.aliases, known.models)
    show_datasets = ShowDatasets(known.datasets, known.jobs)
    room = WaitingRoom(known.jobs, settings.max_waiting_jobs)
    ordering = (find_model, known.jobs, room)
    seconds = settings.request_seconds
    answer_chat, judge_texts = _judged(settings, known, peers, usage, audit, find_model)
    return UseCases(
        answer_chat=answer_chat,
        embed_texts=EmbedTexts(find_model, judge_texts, peers.engines, usage, seconds),
        judge_texts=judge_texts,
        manage_policy=ManagePolicy(peers.policies),
        record_feedback=record_feedback,
        show_models=ShowModels(find_model, known.aliases, known.models),
        move_alias=MoveAlias(find_model, peers.engines, known.aliases, settings.load_seconds),
        delete_model=DeleteModel(peers.trainer, known.models),
        delete_file=DeleteFile(peers.data_prep),
        create_dataset=CreateDataset(peers.data_prep, find_model, known.jobs, room),
        show_datasets=show_datasets,
        delete_dataset=DeleteDataset(peers.data_prep, known.datasets),
        create_fine_tuning_job=CreateFineTuningJob(
            *(peers.trainer, peers.data_prep, find_model, show_datasets),
            *(known.datasets, known.jobs, room),
        ),
        create_optimization=CreateOptimization(peers.optimizer_builder, *ordering),
        create_evaluation=CreateEvaluation(peers.evaluations, *ordering),
        control_job=ControlJob(peers.job_owners, known.jobs),
        watch_job=WatchJob(watcher, known.jobs, peers.trainer),
        webhooks=webhooks,
    )


def _judged(
    settings: Settings,
    known: ReadModels,
    peers: Peers,
    usage: UsageQueue,
    audit: AuditTrail,
    find_model: FindModel,
) -> tuple[AnswerChat, JudgeTexts]:
    """What asks moderation; it is spared by all of them together."""
    moderation = SparedModeration(peers.moderation, settings.moderation_seconds)
    rules_alone = RulesAlone(moderation, known.policies, audit)
    answer_chat = AnswerChat(
        find_model=find_model,
        moderation=rules_alone,
        engines=peers.engines,
        policies=known.policies,
        judges=AskJudges(moderation),
        audit=audit,
        usage=usage,
        request_seconds=settings.request_seconds,
    )
    return answer_chat, JudgeTexts(rules_alone, settings.request_seconds)


@asynccontextmanager
async def _webhooks(
    settings: Settings, bus: Bus, stopping: asyncio.Event
) -> AsyncIterator[Webhooks | None]:
    if settings.webhook_key is None:
        yield None
        return
    opened = open_webhooks(
        bus,
        stopping,
        vault=SecretVault(settings.webhook_key.get_secret_value()),
        schedule=Schedule(
            settings.webhook_retry_seconds, timedelta(seconds=settings.webhook_disable_seconds)
        ),
        facts=FACTS,
        allow_private=settings.webhook_allow_private,
    )
    async with opened as webhooks:
        yield webhooks


@asynccontextmanager
async def _verifier(settings: Settings, background: Background) -> AsyncIterator[TokenVerifier]:
    issuer, audience = settings.jwt_issuer, settings.jwt_audience
    if settings.jwks_path is not None:
        keys = FileKeys(settings.jwks_path)
        yield TokenVerifier(keys, issuer=issuer, audience=audience)
        return
    assert settings.jwks_url is not None, "the settings demand one of the two"
    # No proxy from the environment: keys come from the configured address and nowhere else.
    async with httpx.AsyncClient(trust_env=False) as client:
        fetched = UrlKeys(settings.jwks_url, client=client)
        background.start(fetched.run())
        yield TokenVerifier(fetched, issuer=issuer, audience=audience)


def main() -> None:
    """Run as a process."""
    run_service("gateway", Settings, serve, loop_factory=uvloop.new_event_loop)


if __name__ == "__main__":
    main()
