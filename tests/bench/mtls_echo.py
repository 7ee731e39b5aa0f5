"""Moderation without rules behind our own server: TLS and the check of callers are measured."""

import asyncio
from typing import Any

import uvloop
from modelmill.moderation.v1 import moderation_service_pb2 as pb
from modelmill.moderation.v1 import moderation_service_pb2_grpc as pb_grpc
from modelmill_service_kit.grpc_server import RpcServer
from modelmill_service_kit.process import announce_ready, run_service
from modelmill_service_kit.settings import ServiceSettings
from pydantic_settings import SettingsConfigDict


class EchoSettings(ServiceSettings):
    """As ECHO_<NAME>."""

    model_config = SettingsConfigDict(env_prefix="ECHO_", frozen=True)


class Echo(pb_grpc.ModerationServiceServicer):
    """Gives the text back; nothing is looked at."""

    async def Check(self, request: pb.CheckRequest, context: Any) -> pb.CheckResponse:
        return pb.CheckResponse(verdict=pb.Verdict(text=request.text))


async def serve(settings: EchoSettings, stopping: asyncio.Event) -> None:
    """Serve until `stopping`."""
    server = RpcServer.for_services(settings, settings.mutual_tls(), callers=("gateway",))
    pb_grpc.add_ModerationServiceServicer_to_server(Echo(), server.grpc)
    async with server:
        announce_ready(grpc=server.port)
        await stopping.wait()


if __name__ == "__main__":
    run_service("mtls-echo", EchoSettings, serve, loop_factory=uvloop.new_event_loop)
