"""Gateway: the public API over HTTP and gRPC; every request passes token, policy and guard.

Follows jobs, models, datasets, aliases and policies on the bus, publishes usage.recorded, and
answers from what it knows when the bus is away.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
from jobs.bus import Bus
from modelmill.gateway.v1.gateway_service_pb2_grpc import add_GatewayServiceServicer_to_server
from pydantic import BaseModel
from service_kit.grpc_server import RpcServer
from service_kit.metrics import MetricsPage
from service_kit.process import announce_ready, run_service

from gateway.adapters.background import Background
from gateway.adapters.http_server import serve_http
from gateway.adapters.key_set import FileKeys, UrlKeys
from gateway.adapters.peers import Peers, open_peers
from gateway.adapters.read_models import ReadModels
from gateway.adapters.tokens import TokenVerifier
from gateway.adapters.usage import UsageQueue
from gateway.answer_chat import AnswerChat
from gateway.create_dataset import CreateDataset
from gateway.create_fine_tuning_job import CreateFineTuningJob
from gateway.domain.routes import Body
from gateway.entrypoints.chat_body import ChatBody, GenerateBody
from gateway.entrypoints.fine_tuning_body import FineTuningBody
from gateway.entrypoints.grpc import GatewayServicer
from gateway.entrypoints.http_app import build_http_app
from gateway.entrypoints.http_chat import ChatRoute, GenerateRoute
from gateway.entrypoints.http_files import FileRoutes
from gateway.entrypoints.http_gate import App
from gateway.entrypoints.http_jobs import DatasetBody, JobRoutes
from gateway.entrypoints.http_models import AliasBody, ModelRoutes
from gateway.find_model import FindModel
from gateway.move_alias import MoveAlias
from gateway.settings import Settings
from gateway.show_datasets import ShowDatasets
from gateway.show_models import ShowModels

USAGE_DRAIN_SECONDS = 2.0

BODIES: dict[str, type[BaseModel]] = {
    "chat": ChatBody,
    "generate": GenerateBody,
    "move_alias": AliasBody,
    "create_dataset": DatasetBody,
    "create_fine_tuning": FineTuningBody,
}


async def serve(settings: Settings, stopping: asyncio.Event) -> None:
    """Serve until `stopping`, then finish the answers in hand."""
    secret = settings.service_secret.get_secret_value()
    async with AsyncExitStack() as stack:
        token = settings.nats_token.get_secret_value()
        bus = await stack.enter_async_context(Bus.connect(settings.nats_url, token, name="gateway"))
        background = await stack.enter_async_context(Background(stopping))
        known = ReadModels(bus)
        await known.follow(background)
        usage = UsageQueue(bus, settings.usage_queue)
        background.start(usage.run())
        stack.push_async_callback(usage.drain, USAGE_DRAIN_SECONDS)
        verifier = await stack.enter_async_context(_verifier(settings, background))
        peers = await stack.enter_async_context(
            open_peers(
                inference=settings.inference_address,
                moderation=settings.moderation_address,
                data_prep=settings.data_prep_address,
                trainer=settings.trainer_address,
                secret=secret,
            )
        )
        answer_chat = AnswerChat(
            find_model=FindModel(known.aliases, known.models),
            moderation=peers.moderation,
            engines=peers.engines,
            policies=known.policies,
            usage=usage,
            request_seconds=settings.request_seconds,
        )
        app = _http_app(settings, known, peers, answer_chat, verifier)
        # Callers of this port are clients with tokens of their own, not services with the secret.
        server = RpcServer(settings.grpc_address, None, drain_seconds=settings.drain_seconds)
        servicer = GatewayServicer(answer_chat, verifier)
        add_GatewayServiceServicer_to_server(servicer, server.grpc)
        await stack.enter_async_context(server)
        page = stack.enter_context(MetricsPage(settings.metrics_address, secret))
        http_port = await stack.enter_async_context(
            serve_http(app, settings.http_address, drain_seconds=settings.drain_seconds)
        )
        announce_ready(http=http_port, grpc=server.port, metrics=page.port)
        await stopping.wait()


def _http_app(
    settings: Settings,
    known: ReadModels,
    peers: Peers,
    answer_chat: AnswerChat,
    verifier: TokenVerifier,
) -> App:
    find_model = FindModel(known.aliases, known.models)
    show_datasets = ShowDatasets(known.datasets, known.jobs)
    create_dataset = CreateDataset(peers.data_prep, known.jobs)
    create_fine_tuning_job = CreateFineTuningJob(
        peers.trainer, peers.data_prep, find_model, known.datasets, known.jobs
    )
    show_models = ShowModels(find_model, known.aliases, known.models)
    move_alias = MoveAlias(find_model, peers.engines, known.aliases, settings.load_seconds)
    handlers = {
        **ModelRoutes(show_models, move_alias).handlers(),
        **FileRoutes(peers.data_prep).handlers(),
        **JobRoutes(create_dataset, create_fine_tuning_job, show_datasets, known.jobs).handlers(),
    }
    return build_http_app(
        verifier=verifier,
        handlers=handlers,
        hot={
            "chat": ChatRoute(answer_chat),
            "generate": GenerateRoute(answer_chat, settings.default_model),
        },
        bodies=BODIES,
        limits={Body.JSON: settings.max_body_bytes, Body.UPLOAD: settings.max_upload_bytes},
    )


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
    run_service("gateway", Settings, serve)


if __name__ == "__main__":
    main()
