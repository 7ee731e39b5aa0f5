"""Moderation: judges texts over gRPC by the policies that it puts in force on the bus.

Publishes `policy.state.shared` and `audit.moderation`, follows `policy.state.*`; without the bus it
goes on judging by the policies it has. Judges that a policy names are asked: models at inference,
services over HTTP.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing

import uvloop
from modelmill.moderation.v1.moderation_service_pb2_grpc import (
    add_ModerationServiceServicer_to_server,
)
from modelmill_audit.trail import AuditTrail
from modelmill_bus.bus import Bus
from modelmill_bus.tenant_eraser import TenantEraser
from modelmill_service_kit.grpc_server import RpcServer
from modelmill_service_kit.metrics import MetricsPage
from modelmill_service_kit.process import Ending, announce_ready, run_service
from modelmill_service_kit.work_apart import WorkApart

from modelmill_moderation.adapters.classifier_judge import ClassifierJudge, inference_at
from modelmill_moderation.adapters.policies_on_bus import PolicyFeed, PolicyHistory
from modelmill_moderation.adapters.policy_files import load_policy
from modelmill_moderation.adapters.safety_service import SafetyJudge, safety_services
from modelmill_moderation.change_policy import ChangePolicy
from modelmill_moderation.check_text import CheckText
from modelmill_moderation.domain.judge_answers import ScoreCache
from modelmill_moderation.domain.policies import ConfiguredJudges, CostLimit, PoliciesInForce
from modelmill_moderation.entrypoints.grpc import ModerationServicer
from modelmill_moderation.guard_text import GuardText
from modelmill_moderation.judge_window import AskJudge, JudgeWindow
from modelmill_moderation.publish_default_policy import PublishDefaultPolicy, RenewDefaults
from modelmill_moderation.settings import Settings
from modelmill_moderation.show_policy import ShowPolicy

SERVICE = "moderation"
CALLERS = ("gateway",)
"""Services that may call, by the name in their certificate, if mutual TLS is on."""
AUDIT_DRAIN_SECONDS = 2.0


async def serve(settings: Settings, stopping: asyncio.Event) -> None:
    """Serve until `stopping`, then drain running calls."""
    secret = settings.service_secret.get_secret_value()
    identity = settings.mutual_tls()
    judges = ConfiguredJudges(bool(settings.inference_address), frozenset(settings.safety_services))
    # In a thread: on a machine under load it takes longer than the watchdog of the loop waits.
    default_policy = await asyncio.to_thread(load_policy, settings.policy_path)
    judges.check(default_policy)
    async with AsyncExitStack() as stack:
        bus = await stack.enter_async_context(Bus.of(settings, name=SERVICE))
        history = PolicyHistory(bus)
        await PublishDefaultPolicy(history)(default_policy)
        policies, ask = PoliciesInForce(), await stack.enter_async_context(_asking(settings))
        rules = stack.enter_context(closing(WorkApart()))
        feed, audit = PolicyFeed(bus, policies), AuditTrail(bus, SERVICE, settings.audit_queue)

        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        for work in (feed.run(), audit.run(), TenantEraser(bus, SERVICE).run()):
            stack.callback(tasks.create_task(work).cancel)
        stack.push_async_callback(audit.drain, AUDIT_DRAIN_SECONDS)
        await _either(feed.ready, stopping)
        renewing = tasks.create_task(RenewDefaults(history, policies).run())
        stack.callback(renewing.cancel)

        server = RpcServer.for_services(settings, identity, callers=CALLERS)
        servicer = ModerationServicer(
            *(CheckText(policies, ask, audit, rules), GuardText(policies, ask, audit, rules)),
            JudgeWindow(policies, ask),
            *(
                ChangePolicy(history, judges, CostLimit(settings.rule_cost_microseconds)),
                ShowPolicy(history),
            ),
        )
        add_ModerationServiceServicer_to_server(servicer, server.grpc)
        await stack.enter_async_context(server)
        page = stack.enter_context(MetricsPage(settings.metrics_address, secret))
        announce_ready(grpc=server.port, metrics=page.port)
        await stopping.wait()
        await server.give_notice(Ending.of(stopping, settings))


@asynccontextmanager
async def _asking(settings: Settings) -> AsyncIterator[AskJudge]:
    secret, identity = settings.service_secret.get_secret_value(), settings.mutual_tls()
    async with (
        inference_at(settings.inference_address, secret, identity) as stub,
        safety_services(settings.safety_services) as services,
    ):
        cache = ScoreCache(
            entries=settings.classifier_cache_entries,
            seconds=settings.classifier_cache_seconds,
            clock=time.monotonic,
        )
        classifiers = ClassifierJudge(stub, settings.classifier_seconds, cache)
        yield AskJudge(classifiers=classifiers, services=SafetyJudge(services))


async def _either(*events: asyncio.Event) -> None:
    """Return once one of the events is set."""
    waiting = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()


def main() -> None:
    """Run as a process."""
    run_service(SERVICE, Settings, serve, loop_factory=uvloop.new_event_loop)


if __name__ == "__main__":
    main()
