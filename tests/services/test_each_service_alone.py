"""Each of the six starts, answers health, shows metrics, and stops cleanly, without the others."""

import asyncio
import urllib.request
from pathlib import Path

import grpc
import pytest
from modelmill_cli.keys import LocalKeys
from modelmill_testkit.nats_server import run_nats
from modelmill_testkit.service_process import (
    SECRET,
    refused_start,
    running_service,
    service_settings,
)

SERVICES = ("gateway", "moderation", "data_prep", "trainer", "optimizer_builder", "inference")
NOBODY = "127.0.0.1:9"
"""Peers that do not answer: a service must start without them."""
METHODS = {
    "gateway": "modelmill.gateway.v1.GatewayService/Chat",
    "moderation": "modelmill.moderation.v1.ModerationService/Check",
    "data_prep": "modelmill.data_prep.v1.DataPrepService/GetFile",
    "trainer": "modelmill.trainer.v1.TrainerService/RetireModel",
    "optimizer_builder": "modelmill.optimizer_builder.v1.OptimizerBuilderService/CreateBuild",
    "inference": "modelmill.inference.v1.InferenceService/Score",
}


def settings_of_the_gateway(folder: Path) -> dict[str, str]:
    return {
        "http_address": "127.0.0.1:0",
        "jwks_path": str(folder / "jwks.json"),
        "jwt_issuer": "https://issuer.test",
        "jwt_audience": "modelmill",
    } | {f"{peer}_address": NOBODY for peer in SERVICES if peer != "gateway"}


def metrics(port: int) -> str:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/metrics", headers={"Authorization": f"Bearer {SECRET}"}
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        return response.read().decode()


async def answer_to_a_stranger(address: str, method: str) -> grpc.StatusCode:
    """What comes back for bytes that are no message, without credentials."""
    async with grpc.aio.insecure_channel(address) as channel:
        return await channel.unary_unary(f"/{method}")(b"\xff\xff\xff", timeout=60).code()


@pytest.mark.parametrize("service", SERVICES)
async def test_it_starts_answers_health_and_stops_cleanly(service, tmp_path):
    LocalKeys(tmp_path).ensure()
    own = settings_of_the_gateway(tmp_path) if service == "gateway" else {}
    async with (
        run_nats(tmp_path / "nats") as nats,
        running_service(service, service_settings(nats, tmp_path) | own) as running,
    ):
        assert await running.is_healthy()
        refusal = await answer_to_a_stranger(running.address, METHODS[service])
        assert refusal is grpc.StatusCode.UNAUTHENTICATED
        assert "modelmill_" in await asyncio.to_thread(metrics, running.ports["metrics"])

        assert await running.stop() == 0, running.errors
        assert "Traceback" not in running.errors


@pytest.mark.parametrize("service", SERVICES)
async def test_a_missing_setting_is_one_clear_line(service):
    status, said = await refused_start(service, {})

    assert status == 2
    (line,) = said
    assert f"{service}_NATS_URL".upper() in line
