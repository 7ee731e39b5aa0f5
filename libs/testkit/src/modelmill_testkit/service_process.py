"""One of our services as a process of its own, started as `mill up` and containers start it."""

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from grpc import ChannelCredentials
from grpc.aio import insecure_channel, secure_channel
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from modelmill_testkit.nats_server import NatsServer

SECRET = "a-secret-of-the-tests"
START_SECONDS = 60.0
"""Two busy cores import slowly; a service that hangs is found all the same."""
END_SECONDS = 60.0
"""For an end, likewise."""


def service_settings(nats: NatsServer, root: Path) -> dict[str, str]:
    """What every service must be told; scratch and artifacts lie under `root`."""
    return {
        "nats_url": nats.url,
        "nats_token": nats.token,
        "service_secret": SECRET,
        "artifact_root": str(root / "artifacts"),
        "work_root": str(root / "work"),
    }


@dataclass(frozen=True)
class ServiceProcess:
    """A service that said READY."""

    process: asyncio.subprocess.Process
    ports: Mapping[str, int]
    """By listener: grpc, metrics, http."""
    _errors: BinaryIO

    @property
    def pid(self) -> int:
        """Process id, also after its end."""
        return self.process.pid

    @property
    def address(self) -> str:
        """Where it answers gRPC."""
        return f"127.0.0.1:{self.ports['grpc']}"

    @property
    def errors(self) -> str:
        """All that it wrote to stderr so far: its log."""
        return _read(self._errors)

    async def is_healthy(self, credentials: ChannelCredentials | None = None) -> bool:
        """Whether the standard health service says SERVING, over TLS with `credentials`."""
        opened = secure_channel(self.address, credentials) if credentials else None
        async with opened or insecure_channel(self.address) as channel:
            answer = await HealthStub(channel).Check(HealthCheckRequest(), timeout=30)
        return bool(answer.status == HealthCheckResponse.SERVING)

    async def stop(
        self, number: signal.Signals = signal.SIGTERM, *, within: float = END_SECONDS
    ) -> int:
        """Send the signal and wait for the end; the exit status."""
        self.process.send_signal(number)
        return await self.ended(within=within)

    async def ended(self, *, within: float = END_SECONDS) -> int:
        """Wait for an end that something else brings about; the exit status."""
        return await asyncio.wait_for(self.process.wait(), within)


@asynccontextmanager
async def running_service(
    name: str, settings: Mapping[str, str], *, module: str | None = None
) -> AsyncIterator[ServiceProcess]:
    """`python -m <name>.main`, READY; killed when the block ends, if it still runs.

    Args:
        settings: by their names without the prefix, which is the service's own.
        module: what is run in place of `<name>.main`.
    """
    with tempfile.TemporaryFile() as errors:
        process = await _start(name, settings, errors, module)
        try:
            assert process.stdout is not None
            line = await asyncio.wait_for(process.stdout.readline(), START_SECONDS)
            word, *pairs = line.decode().split() or [""]
            assert word == "READY", f"{name} did not start: {_read(errors)}"
            ports = {listener: int(port) for listener, port in (pair.split("=") for pair in pairs)}
            yield ServiceProcess(process, ports, errors)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def refused_start(name: str, settings: Mapping[str, str]) -> tuple[int, list[str]]:
    """Start it with settings that must not do; its exit status and what it said to a person."""
    with tempfile.TemporaryFile() as errors:
        process = await _start(name, settings, errors)
        try:
            await asyncio.wait_for(process.communicate(), START_SECONDS)
        finally:
            if process.returncode is None:  # it started after all
                process.kill()
                await process.wait()
        assert process.returncode is not None
        # Lines of the log are JSON; they are for machines.
        said = [line for line in _read(errors).splitlines() if not line.startswith("{")]
        return process.returncode, said


async def modules_loaded_by(module: str) -> set[str]:
    """Names of the top-level packages in a process that imports `module` and no more."""
    command = f"import sys, {module}; print(*sys.modules)"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", command), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await asyncio.wait_for(process.communicate(), START_SECONDS)
    assert process.returncode == 0
    return {name.partition(".")[0] for name in output.decode().split()}


async def _start(
    name: str, settings: Mapping[str, str], errors: BinaryIO, module: str | None = None
) -> asyncio.subprocess.Process:
    # A file takes whatever is logged; a pipe that nobody reads would stop the service when full.
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module or f"modelmill_{name}.main"),
        env=os.environ | {f"{name}_{key}".upper(): value for key, value in settings.items()},
        stdout=asyncio.subprocess.PIPE,
        stderr=errors,
    )


def _read(errors: BinaryIO) -> str:
    size = os.fstat(errors.fileno()).st_size
    # By position: the process shares the file's offset, which must stay at the end.
    return os.pread(errors.fileno(), size, 0).decode(errors="replace")
