"""The service as a process of its own: it starts, answers health, and stops cleanly."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

from grpc.aio import insecure_channel
from grpc_health.v1 import health_pb2, health_pb2_grpc
from testkit.nats_server import NatsServer


async def test_it_starts_answers_health_and_stops_cleanly(nats: NatsServer, tmp_path: Path) -> None:
    env = {
        "MODERATION_NATS_URL": nats.url,
        "MODERATION_NATS_TOKEN": nats.token,
        "MODERATION_SERVICE_SECRET": "a-secret-of-the-tests",
        "MODERATION_ARTIFACT_ROOT": str(tmp_path),
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "moderation.main"),
        env=os.environ | env,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        words = (await asyncio.wait_for(process.stdout.readline(), 30)).decode().split()
        assert words[0] == "READY"
        ports = dict(word.split("=") for word in words[1:])
        assert ports.keys() == {"grpc", "metrics"}
        async with insecure_channel(f"127.0.0.1:{ports['grpc']}") as channel:
            health = health_pb2_grpc.HealthStub(channel)
            answer = await health.Check(health_pb2.HealthCheckRequest(), timeout=5)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING

        process.send_signal(signal.SIGTERM)

        rest, _ = await asyncio.wait_for(process.communicate(), 5)
        assert process.returncode == 0
        assert rest == b""
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def test_missing_settings_end_it_with_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "moderation.main"],
        capture_output=True,
        check=False,
        env={"PATH": os.environ["PATH"]},
    )

    assert done.returncode == 2
    assert done.stderr.decode().count("\n") == 1
    assert "MODERATION_NATS_URL" in done.stderr.decode()
