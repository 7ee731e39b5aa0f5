"""Gateway: the public API over HTTP and gRPC; every request passes token, policy and guard.

Follows jobs, models, datasets, aliases and policies on the bus, publishes usage.recorded, and
answers from what it knows when the bus is away.
"""

import asyncio
import gc
import random
import time
from collections.abc import AsyncIterator
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    closing,
    suppress,
)
from datetime import timedelta
from functools import partial
from hashlib import sha256

import grpc
import uvloop
from modelmill_audit.trail import AuditTrail
from modelmill_bus.bus import Bus
from modelmill_bus.tenant_eraser import TenantEraser
from modelmill_job_index.index import JobWatcher
from modelmill_jobs.worker import Worker
from modelmill_registry.job_checkpoints import forget_checkpoints
from modelmill_registry.store import store_of
from modelmill_service_kit.grpc_server import RpcServer
from modelmill_service_kit.metrics import MetricsPage
from modelmill_service_kit.process import Ending, announce_ready, run_service
from modelmill_service_kit.work_apart import WorkApart
from starlette.types import ASGIApp

from modelmill_gateway.adapters.background import Background
from modelmill_gateway.adapters.http_protocol import ClientLimits
from modelmill_gateway.adapters.http_server import HttpServer, serve_http
from modelmill_gateway.adapters.journal import open_journal
from modelmill_gateway.adapters.peers import open_peers
from modelmill_gateway.adapters.prometheus import open_alerts
from modelmill_gateway.adapters.shared_ports import (
    connections_ended,
    leave_to_one,
    leave_to_successor,
    own_generation,
)
from modelmill_gateway.adapters.sign_in import open_sign_in
from modelmill_gateway.adapters.tls import ServedCertificate, open_tls
from modelmill_gateway.adapters.tokens import open_verifier
from modelmill_gateway.adapters.usage import UsageQueue, open_spill
from modelmill_gateway.batches.answer_batch import AnswerBatch
from modelmill_gateway.batches.answer_many import AnswerMany
from modelmill_gateway.composition import Parts, UseCases, admission_of, open_webhooks
from modelmill_gateway.domain.ledger.account import Terms
from modelmill_gateway.domain.request_context import RequestIds
from modelmill_gateway.domain.secret_vault import LOG_KEYS, WEBHOOK_SECRETS, SecretVault
from modelmill_gateway.domain.webhooks import Schedule
from modelmill_gateway.entrypoints.jobs import BatchHandler, BatchRequests
from modelmill_gateway.entrypoints.schemas.webhooks import FACTS
from modelmill_gateway.evals.run_eval import RunEval
from modelmill_gateway.guarding.record_feedback import FeedbackBook, RecordFeedback
from modelmill_gateway.identity.credentials import Credentials, DelegatedIdentity
from modelmill_gateway.identity.record_changes import ChangeTrail, RecordChanges, change_log
from modelmill_gateway.read_models import ReadModels
from modelmill_gateway.request_log.log_exchanges import LogExchanges, LogTerms
from modelmill_gateway.request_log.log_keys import LogKeys
from modelmill_gateway.request_log.read_log import ExpireLog, ReadLog
from modelmill_gateway.routing.routed_engines import ShadowAnswers
from modelmill_gateway.servers import gateway_http_app, gateway_rpc_handlers
from modelmill_gateway.settings import Settings
from modelmill_gateway.several_processes import serve_by_several
from modelmill_gateway.spending.budget_book import milliseconds
from modelmill_gateway.spending.quotas import Quotas, QuotaTerms
from modelmill_gateway.webhooks.change_webhook import Webhooks

USAGE_DRAIN_SECONDS = 2.0
YOUNG_OBJECTS = 100_000
"""New objects before the collector looks; an answer makes hundreds, and most go by themselves."""


async def serve(settings: Settings, stopping: asyncio.Event) -> None:
    """Serve until `stopping`, then finish the answers in hand."""
    tls = _tls(settings)
    async with AsyncExitStack() as stack:
        bus = await stack.enter_async_context(Bus.of(settings, name="gateway"))
        background = await stack.enter_async_context(Background(stopping))
        parts = await _parts(stack, settings, bus, background, stopping)
        tokens = await stack.enter_async_context(open_verifier(settings, background))
        verifier = Credentials(parts.known.keys, tokens, parts.known.in_hand, parts.known.tenants)
        use_cases = UseCases(parts)
        procedures = gateway_rpc_handlers(use_cases, parts, verifier, stopping)
        background.start(use_cases.delete_tenants.run())
        background.start(TenantEraser(bus, "gateway", artifacts=store_of(settings)).run())
        stack.enter_context(parts.known.measured())
        page = stack.enter_context(_metrics(settings))
        app = gateway_http_app(use_cases, parts, verifier, stopping)
        if settings.role != "serve":
            background.start(use_cases.run_experiments.run())
            kept = settings.log_days * 86_400
            background.start(ExpireLog(bus, partial(store_of, settings), kept).run())
            await stack.enter_async_context(_working(_worker(parts, use_cases), stopping))
        if settings.role == "work":
            announce_ready(metrics=page.port)
            await stopping.wait()
            return
        server = await stack.enter_async_context(_grpc_server(settings, procedures, tls))
        http_server = await stack.enter_async_context(_http_server(settings, app, tls))
        _keep_what_stays()
        announce_ready(http=http_server.port, grpc=server.port, metrics=page.port)
        await stopping.wait()
        await _leave(Ending.of(stopping, settings), settings, http_server, server)


def _worker(parts: Parts, use_cases: UseCases) -> Worker:
    """What works on batches, by the use cases that answer people."""
    settings, files, store = parts.settings, parts.peers.data_prep, store_of(parts.settings)
    most = settings.batch_parallel
    ask = BatchRequests(
        use_cases.answer_chat,
        use_cases.embed_texts,
        parts.known.in_hand,
        parts.record_feedback.request_ids,
        max_bytes=settings.max_body_bytes,
    )
    answer_many = AnswerMany(
        *(ask, most, asyncio.Semaphore(most)),
        others_wait=lambda: parts.admission.waiting > 0,
    )
    standing = DelegatedIdentity(parts.known.keys)
    answer_batch = AnswerBatch(
        *(files, store, answer_many, standing),
        max_bytes=settings.max_body_bytes,
    )

    async def forget(job_id: str) -> None:
        """Delete all that a job saved which has succeeded and so never goes on from it."""
        await asyncio.to_thread(forget_checkpoints, store, job_id)

    use_cases.capacity.worker = worker = Worker(
        parts.bus,
        [BatchHandler(answer_batch, RunEval(files, store, answer_many, standing))],
        service="gateway",
        work_root=settings.work_root / "jobs",
        slots=settings.worker_slots,
        size=settings.worker_size,
        jobs_per_tenant=settings.jobs_per_tenant,
        claim_seconds=settings.claim_seconds,
        after_success=forget,
    )
    return worker


@asynccontextmanager
async def _working(worker: Worker, stopping: asyncio.Event) -> AsyncIterator[None]:
    """Work until `stopping`; jobs in hand are given back before the block is left."""
    task = asyncio.create_task(worker.run(stopping))
    task.add_done_callback(lambda _: stopping.set())
    try:
        yield
    finally:
        stopping.set()
        await task


async def _leave(
    ending: Ending, settings: Settings, http_server: HttpServer, server: RpcServer
) -> None:
    """Tell clients on both servers that the end is near, and answer who has not heard of it."""
    http_server.send_away(ending)
    ports = (http_server.port, server.port)
    if ending.has_successor:
        with suppress(OSError):  # of a kernel that takes no such program: few are lost then
            leave_to_successor(ports, settings.port_sharers)
    await server.give_notice(ending)
    if ending.has_successor:
        await connections_ended(ports, ending, own_generation(settings.port_sharers))
        with suppress(OSError):
            leave_to_one(ports, settings.port_sharers)


async def _parts(
    stack: AsyncExitStack,
    settings: Settings,
    bus: Bus,
    background: Background,
    stopping: asyncio.Event,
) -> Parts:
    """What use cases are made of; `stack` closes it."""
    known = ReadModels(bus)
    await known.follow(background)
    usage = _usage(stack, settings, bus, background)
    audit = AuditTrail(bus, "gateway", settings.audit_queue)
    background.start(audit.run())
    stack.push_async_callback(audit.drain, USAGE_DRAIN_SECONDS)
    log, read_log = _request_log(stack, settings, bus, background)
    peers = await stack.enter_async_context(open_peers(settings))
    shadows = ShadowAnswers(peers.engines, usage, settings.request_seconds, draw=random.random)
    stack.push_async_callback(shadows.close)
    return Parts(
        settings=settings,
        bus=bus,
        known=known,
        peers=peers,
        usage=usage,
        log=log,
        read_log=read_log,
        shadows=shadows,
        audit=audit,
        watcher=JobWatcher(bus, known.jobs),
        webhooks=await stack.enter_async_context(_webhooks(settings, bus, known, stopping)),
        record_changes=_record_changes(stack, settings, bus, background),
        record_feedback=_feedback(settings, bus, known, background),
        admission=admission_of(settings),
        sign_in=await stack.enter_async_context(open_sign_in(settings.oidc_issuers, background)),
        alerts=await stack.enter_async_context(open_alerts(settings)),
        work=stack.enter_context(closing(WorkApart())),
        quotas=await stack.enter_async_context(_quotas(settings, known, background)),
    )


def _usage(
    stack: AsyncExitStack, settings: Settings, bus: Bus, background: Background
) -> UsageQueue:
    folder = settings.usage_folder or settings.work_root / "usage"
    spill = stack.enter_context(open_spill(folder, settings.usage_spill_bytes))
    usage = UsageQueue(bus, settings.usage_queue, spill)
    background.start(usage.run())
    stack.push_async_callback(usage.drain, USAGE_DRAIN_SECONDS)
    return usage


def _request_log(
    stack: AsyncExitStack, settings: Settings, bus: Bus, background: Background
) -> tuple[LogExchanges | None, ReadLog | None]:
    """Who logs and who reads that, where the operator gave a key to seal it with."""
    if settings.webhook_key is None:
        return None, None
    master, store = settings.webhook_key.get_secret_value(), partial(store_of, settings)
    keys = LogKeys(bus, SecretVault(master, LOG_KEYS))
    secret = sha256(f"modelmill log users 1 {master}".encode()).digest()
    work = settings.work_root / "log"
    work.mkdir(parents=True, exist_ok=True)
    terms = LogTerms(settings.log_seconds, settings.log_bytes)
    log = LogExchanges(bus, store(), keys, secret, work, terms)
    background.start(log.run())
    stack.push_async_callback(log.drain, USAGE_DRAIN_SECONDS)
    return log, ReadLog(bus, store, keys, secret)


def _record_changes(
    stack: AsyncExitStack, settings: Settings, bus: Bus, background: Background
) -> RecordChanges:
    trail, shown = ChangeTrail(bus, settings.audit_queue), change_log(bus)
    background.start(trail.run())
    # Nothing waits for it: a list that is still being read is shorter for a while.
    background.start(shown.run())
    stack.push_async_callback(trail.drain, USAGE_DRAIN_SECONDS)
    return RecordChanges(trail, shown)


def _feedback(
    settings: Settings, bus: Bus, known: ReadModels, background: Background
) -> RecordFeedback:
    book = FeedbackBook(bus, time.time)
    background.start(book.run())
    request_ids = RequestIds(settings.request_id_secret)
    return RecordFeedback(book, request_ids, known.policies)


def _metrics(settings: Settings) -> MetricsPage:
    secret = settings.service_secret.get_secret_value()
    return MetricsPage(settings.metrics_address, secret, shares_port=settings.shares_ports)


def _keep_what_stays() -> None:
    """Take all that was made at the start out of the collector's sight.

    Without it every full collection walks through modules and channels: 50 ms in which nothing is
    answered, again and again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])


@asynccontextmanager
async def _quotas(
    settings: Settings, known: ReadModels, background: Background
) -> AsyncIterator[Quotas]:
    with open_journal(settings.ledger_folder or settings.work_root / "ledger") as journal:
        leases = Terms(
            lease_ms=round(settings.ledger_lease_seconds * 1000),
            grace_ms=round(settings.ledger_grace_seconds * 1000),
        )
        terms = QuotaTerms(leases, settings.ledger_wait_seconds)
        quotas = Quotas(known.budgets, journal.holder_id, journal.slots, terms, milliseconds)
        background.start(quotas.run())
        try:
            yield quotas
        finally:
            await quotas.drain(USAGE_DRAIN_SECONDS)


def _tls(settings: Settings) -> ServedCertificate | None:
    addresses = {
        "GATEWAY_HTTP_ADDRESS": settings.http_address,
        "GATEWAY_GRPC_ADDRESS": settings.grpc_address,
    }
    return open_tls(
        addresses,
        settings.tls_certificate_path,
        settings.tls_key_path,
        plaintext_behind_proxy=settings.plaintext_behind_proxy,
    )


def _http_server(
    settings: Settings, app: ASGIApp, tls: ServedCertificate | None
) -> AbstractAsyncContextManager[HttpServer]:
    limits = ClientLimits(
        head_seconds=settings.head_seconds,
        stall_seconds=settings.stall_seconds,
        bytes_per_second=settings.slowest_bytes_per_second,
        connections=settings.max_connections,
    )
    return serve_http(
        app,
        settings.http_address,
        drain_seconds=settings.drain_seconds,
        tls=tls.ssl_context() if tls else None,
        limits=limits,
        shares_port=settings.shares_ports,
    )


def _grpc_server(
    settings: Settings, procedures: grpc.GenericRpcHandler, tls: ServedCertificate | None
) -> RpcServer:
    # Callers of this port are clients with tokens of their own, not services with the secret.
    server = RpcServer(
        settings.grpc_address,
        None,
        drain_seconds=settings.drain_seconds,
        credentials=tls.grpc_credentials() if tls else None,
        shares_port=settings.shares_ports,
    )
    server.grpc.add_generic_rpc_handlers((procedures,))
    return server


@asynccontextmanager
async def _webhooks(
    settings: Settings, bus: Bus, known: ReadModels, stopping: asyncio.Event
) -> AsyncIterator[Webhooks | None]:
    if settings.webhook_key is None:
        yield None
        return
    opened = open_webhooks(
        bus,
        stopping,
        vault=SecretVault(settings.webhook_key.get_secret_value(), WEBHOOK_SECRETS),
        schedule=Schedule(
            settings.webhook_retry_seconds, timedelta(seconds=settings.webhook_disable_seconds)
        ),
        facts=FACTS,
        announcements=known.made,
        allow_private=settings.webhook_allow_private,
    )
    async with opened as webhooks:
        yield webhooks


async def _serve(settings: Settings, stopping: asyncio.Event) -> None:
    """By this process, or by several that it looks after."""
    is_one = settings.processes == 1 or settings.role == "work"
    await (serve if is_one else serve_by_several)(settings, stopping)


def main() -> None:
    """Run as a process."""
    run_service("gateway", Settings, _serve, loop_factory=uvloop.new_event_loop)


if __name__ == "__main__":
    main()
