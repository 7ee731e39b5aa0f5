"""The service as a process of its own: it starts, answers, and stops cleanly, without torch."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

from grpc.aio import insecure_channel
from grpc_health.v1 import health_pb2, health_pb2_grpc
from testkit.nats_server import run_nats


async def test_it_starts_answers_health_and_stops_cleanly_without_torch(tmp_path: Path) -> None:
    async with run_nats(tmp_path / "nats") as nats:
        env = {
            "TRAINER_NATS_URL": nats.url,
            "TRAINER_NATS_TOKEN": nats.token,
            "TRAINER_SERVICE_SECRET": "a-secret-of-the-tests",
            "TRAINER_ARTIFACT_ROOT": str(tmp_path / "artifacts"),
            "TRAINER_WORK_ROOT": str(tmp_path / "work"),
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "trainer.main"),
            env=os.environ | env,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            assert process.stdout is not None
            words = (await asyncio.wait_for(process.stdout.readline(), 30)).decode().split()
            assert words[0] == "READY"
            ports = dict(word.split("=") for word in words[1:])
            async with insecure_channel(f"127.0.0.1:{ports['grpc']}") as channel:
                health = health_pb2_grpc.HealthStub(channel)
                answer = await health.Check(health_pb2.HealthCheckRequest(), timeout=5)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
            mapped = await asyncio.to_thread(Path(f"/proc/{process.pid}/maps").read_text)
            assert "libtorch" not in mapped

            process.send_signal(signal.SIGTERM)

            assert await asyncio.wait_for(process.wait(), 15) == 0
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


def test_the_service_itself_loads_no_tensor_library() -> None:
    check = (
        "import sys, trainer.main;"
        "loaded = {'torch', 'transformers', 'peft', 'numpy', 'tokenizers'} & set(sys.modules);"
        "sys.exit(str(loaded) if loaded else 0)"
    )

    done = subprocess.run([sys.executable, "-c", check], capture_output=True, check=False)

    assert done.returncode == 0, done.stderr.decode()


def test_missing_and_wrong_settings_end_it_with_one_line() -> None:
    env = {"PATH": os.environ["PATH"], "TRAINER_ROLE": "boss", "TRAINER_THREADS": "-1"}

    done = subprocess.run(
        [sys.executable, "-m", "trainer.main"], capture_output=True, check=False, env=env
    )

    assert done.returncode == 2
    for name in ("TRAINER_NATS_URL", "TRAINER_ROLE", "TRAINER_THREADS"):
        assert name in done.stderr.decode()
