"""Two Ray nodes on this machine, closed by a token."""

import os
import secrets
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from modelmill_testkit.ports import free_port

ROOT = Path(__file__).parents[2]
BIN = ROOT / "build" / "ray" / "bin"
HOSTS = ("127.0.0.2", "127.0.0.3")
"""Not 127.0.0.1, for which Ray puts the address that others see this machine at."""

START_SECONDS = 60.0
STOP_SECONDS = 20.0
COMMON = (
    *("--num-cpus", "1", "--block", "--disable-usage-stats", "--include-log-monitor", "false"),
    *("--object-store-memory", "200000000", "--min-worker-port", "0", "--max-worker-port", "0"),
    *("--dashboard-agent-listen-port", "0", "--dashboard-agent-grpc-port", "0"),
    *("--runtime-env-agent-port", "0", "--metrics-export-port", "0"),
)


@dataclass(frozen=True)
class Cluster:
    """Where it answers, and what it wants to be shown."""

    address: str
    client_address: str
    token_file: Path

    @property
    def environment(self) -> Mapping[str, str]:
        """With its token."""
        return os.environ | {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(self.token_file),
            # Ray starts a process for each client, and gives it 30 s to import itself, which are
            # not enough on a machine that reads it from disk for the first time.
            "RAY_CLIENT_SERVER_CHECK_CHANNEL_TIMEOUT_S": "120",
        }


@contextmanager
def running_cluster(folder: Path) -> Iterator[Cluster]:
    """Two nodes of one processor each until the block ends; `folder` has a short path."""
    token_file = folder / "token"
    token_file.write_text(secrets.token_hex(32))
    token_file.chmod(0o600)
    port, client_port = free_port(), free_port()
    address = f"{HOSTS[0]}:{port}"
    cluster = Cluster(address, f"ray://{HOSTS[0]}:{client_port}", token_file)
    head = ("--head", f"--port={port}", f"--ray-client-server-port={client_port}")
    head = (*head, "--include-dashboard=false", f"--temp-dir={folder}")
    nodes: list[subprocess.Popen[bytes]] = []
    try:
        nodes.append(_node(cluster, folder / "head.log", HOSTS[0], *head))
        nodes.append(_node(cluster, folder / "second.log", HOSTS[1], f"--address={address}"))
        yield cluster
    finally:
        for node in reversed(nodes):
            _stop(node)


def _node(cluster: Cluster, log: Path, host: str, *words: str) -> subprocess.Popen[bytes]:
    """Started, and said to run."""
    command = [BIN / "ray", "start", f"--node-ip-address={host}", *words, *COMMON]
    with log.open("wb") as output:
        node = subprocess.Popen(
            command,
            env=cluster.environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    deadline = time.monotonic() + START_SECONDS
    while b"Ray runtime started" not in log.read_bytes():
        if node.poll() is not None or time.monotonic() > deadline:
            _stop(node)
            raise SystemExit(f"a Ray node did not start: {log.read_text()[-3000:]}")
        time.sleep(0.1)
    return node


def _stop(node: subprocess.Popen[bytes]) -> None:
    """SIGTERM, then what is left of it and of what it started."""
    below = []
    with suppress(psutil.NoSuchProcess):
        below = psutil.Process(node.pid).children(recursive=True)
    node.terminate()
    with suppress(subprocess.TimeoutExpired):
        node.wait(STOP_SECONDS)
    for process in below:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    node.kill()
    node.wait()
