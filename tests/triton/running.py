"""A Triton server from the wheel, in an environment of its own."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import psutil
from modelmill_service_kit.errors import UnavailableError
from modelmill_testkit.ports import free_port
from modelmill_testkit.waiting import eventually
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / "build" / "triton" / "bin" / "python"
SERVE = ROOT / "deploy" / "triton" / "serve.py"
TOKEN = "triton-test-token"
START_SECONDS = 120.0
STOP_SECONDS = 60.0
STUB = "triton_python_b"
"""What the system keeps of the name."""


@dataclass
class RunningTriton:
    """A server that answers, which can be killed and started again at the same port."""

    port: int
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        environment = os.environ | {
            "TRITON_GRPC_PORT": str(self.port),
            "TRITON_METRICS_PORT": "0",
            "TRITON_TOKEN": TOKEN,
            **self.environment,
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [PYTHON, SERVE],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_SECONDS
        roots = self.environment.get("TRITON_TLS_CERTIFICATE")
        with InferenceServerClient(self.url, ssl=bool(roots), root_certificates=roots) as client:
            while not _answers(client):
                ended = self.process.poll() is not None
                if ended or time.monotonic() > deadline:
                    raise UnavailableError(f"Triton did not start: {self.log.read_text()[-2000:]}")
                time.sleep(0.1)

    def stubs(self) -> list[psutil.Process]:
        """Processes of its Python models."""
        assert self.process is not None
        try:
            below = psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        return [process for process in below if _is_stub(process)]

    async def these_stubs(self, many: int) -> list[psutil.Process]:
        """The processes of so many models, oldest first, once those unloaded before are gone."""
        await eventually(lambda: len(self.stubs()) == many)
        return sorted(self.stubs(), key=lambda stub: stub.create_time())

    async def only_stub(self) -> psutil.Process:
        """The process of its one model."""
        return (await self.these_stubs(1))[0]

    def revive(self) -> None:
        """Start it again if it has ended, as a container's restart policy does.

        A model's process that is killed in the middle of a response takes Triton 2.51 with it now
        and then: an exception that nothing in its Python backend catches.
        """
        if self.process is not None and self.process.poll() is not None:
            self.start()

    def kill(self) -> None:
        """Kill it and what it started, as a machine that goes down does."""
        assert self.process is not None
        stubs = self.stubs()
        self.process.kill()
        self.process.wait()
        for stub in stubs:
            _kill(stub)

    def stop(self) -> int:
        """SIGTERM; its exit status."""
        assert self.process is not None
        stubs = self.stubs()
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()
        finally:
            for stub in stubs:
                _kill(stub)


@contextmanager
def running_triton(log: Path, **environment: str) -> Iterator[RunningTriton]:
    """A server until the block ends; settings of `serve.py` by name."""
    triton = RunningTriton(free_port(), log, environment)
    triton.start()
    try:
        yield triton
    finally:
        triton.stop()


def _answers(client: InferenceServerClient) -> bool:
    try:
        return bool(client.is_server_ready(client_timeout=1.0))
    except (InferenceServerException, grpc.RpcError):
        return False


def has_ended(process: psutil.Process) -> bool:
    """Whether a process holds nothing any more, though its parent may not have noticed."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _is_stub(process: psutil.Process) -> bool:
    try:
        return process.name().startswith(STUB) and not has_ended(process)
    except psutil.NoSuchProcess:
        return False


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return
