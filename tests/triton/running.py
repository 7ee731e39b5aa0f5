"""A Triton server from the wheel, in an environment of its own."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import psutil
from testkit.ports import free_port
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / "build" / "triton" / "bin" / "python"
SERVE = ROOT / "deploy" / "triton" / "serve.py"
TOKEN = "triton-test-token"
START_SECONDS = 30.0
STOP_SECONDS = 20.0
STUB = "triton_python_backend_stub"


@dataclass
class RunningTriton:
    """A server that answers, which can be killed and started again at the same port."""

    port: int
    log: Path
    options: tuple[str, ...] = ()
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
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [PYTHON, SERVE, *self.options],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_SECONDS
        with InferenceServerClient(self.url) as client:
            while not _answers(client):
                ended = self.process.poll() is not None
                if ended or time.monotonic() > deadline:
                    raise AssertionError(f"Triton did not start: {self.log.read_text()[-2000:]}")
                time.sleep(0.1)

    def stubs(self) -> list[psutil.Process]:
        """Processes of its Python models."""
        assert self.process is not None
        below = psutil.Process(self.process.pid).children(recursive=True)
        return [process for process in below if process.name() == STUB[:15]]

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
        stubs = self.stubs() if self.process.poll() is None else []
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
def running_triton(log: Path, *options: str) -> Iterator[RunningTriton]:
    """A server until the block ends."""
    triton = RunningTriton(free_port(), log, options)
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


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return
