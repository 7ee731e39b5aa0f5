"""Each of the six starts, answers health, shows metrics, and stops cleanly, without the others."""

import asyncio
import signal
import sys
import urllib.error
import urllib.request
from asyncio.subprocess import PIPE
from os import environ

import grpc
import pytest
from cli.keys import LocalKeys
from grpc_health.v1 import health_pb2, health_pb2_grpc
from testkit.nats_server import run_nats

SERVICES = ("gateway", "moderation", "data_prep", "trainer", "optimizer_builder", "inference")
SECRET = "alone"
NOBODY = "127.0.0.1:9"
"""Peers that do not answer: a service must start without them."""


def settings_of(service: str, tmp_path, url: str, token: str) -> dict[str, str]:
    values = {
        "nats_url": url,
        "nats_token": token,
        "service_secret": SECRET,
        "artifact_root": str(tmp_path / "artifacts"),
        "work_root": str(tmp_path / "work"),
        "http_address": "127.0.0.1:0",
        "jwks_path": str(tmp_path / "jwks.json"),
        "jwt_issuer": "https://issuer.test",
        "jwt_audience": "modelmill",
    } | {f"{peer}_address": NOBODY for peer in SERVICES}
    return {f"{service}_{key}".upper(): value for key, value in values.items()}


def metrics(port: int) -> str:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/metrics", headers={"Authorization": f"Bearer {SECRET}"}
    )
    with urllib.request.urlopen(request, timeout=5) as response:
        return response.read().decode()


@pytest.mark.parametrize("service", SERVICES)
async def test_it_starts_answers_health_and_stops_cleanly(service, tmp_path):
    LocalKeys(tmp_path).ensure()
    async with run_nats(tmp_path / "nats") as nats:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", f"{service}.main"),
            env=environ | settings_of(service, tmp_path, nats.url, nats.token),
            stdout=PIPE,
            stderr=PIPE,
        )
        assert process.stdout is not None
        line = (await asyncio.wait_for(process.stdout.readline(), 60)).decode()
        assert line.startswith("READY"), (line, await process.stderr.read())
        ports = dict(word.split("=") for word in line.split()[1:])

        async with grpc.aio.insecure_channel(f"127.0.0.1:{ports['grpc']}") as channel:
            health = health_pb2_grpc.HealthStub(channel)
            answer = await health.Check(health_pb2.HealthCheckRequest(), timeout=5)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        page = await asyncio.to_thread(metrics, int(ports["metrics"]))
        assert "modelmill_" in page

        process.send_signal(signal.SIGTERM)
        _, errors = await asyncio.wait_for(process.communicate(), 15)
        assert process.returncode == 0, errors.decode()
        assert b"Traceback" not in errors, errors.decode()


@pytest.mark.parametrize("service", SERVICES)
async def test_a_missing_setting_is_one_clear_line(service):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"{service}.main"), stdout=PIPE, stderr=PIPE
    )
    _, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 2
    (line,) = errors.decode().splitlines()
    assert f"{service}_NATS_URL".upper() in line
