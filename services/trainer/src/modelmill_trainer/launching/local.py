"""Ranks on this machine, by torchrun."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from modelmill_jobs.child import ChildFailure
from modelmill_service_kit.ports import held_port

from modelmill_trainer.launching.launcher import Launch, Rank
from modelmill_trainer.launching.socket_links import SocketLinks
from modelmill_trainer.training.distributed.process_names import RANK_MODULE, SOCKET

HERE = "127.0.0.1"


class LocalRanks:
    """torchrun and the links to what it started."""

    def __init__(self, links: SocketLinks, torchrun: subprocess.Popen[bytes]) -> None:
        self._links = links
        self._torchrun = torchrun

    @property
    def reported(self) -> list[Rank]:
        """See `RunningRanks`."""
        return list(self._links.ranks)

    def heard(self, seconds: float) -> tuple[Rank, dict[str, Any]] | None:
        """See `RunningRanks`."""
        return self._links.heard(seconds)

    def ended(self) -> str | None:
        """See `RunningRanks`."""
        status = self._torchrun.poll()
        return None if status is None else f"torchrun ended with status {status}"


class LocalLauncher:
    """Starts torchrun in this process' group, and it the ranks in groups of their own.

    Ranks end with the connection to this process, whoever was killed.
    """

    @contextmanager
    def started(self, launch: Launch) -> Iterator[LocalRanks]:
        """See `Launcher`. Raises ChildFailure where the extra `ranks` is not installed."""
        if find_spec("deepspeed") is None:
            raise ChildFailure(
                "RANKS_NOT_INSTALLED",
                "this worker cannot divide a run: DeepSpeed is not installed",
                "Install modelmill-trainer[ranks] on the workers, or train in one process.",
            )
        ranks = launch.distribution.ranks
        threads = launch.request["threads"] or _cores_for_each(ranks)
        request = {**launch.request, "threads": threads}
        with (
            SocketLinks(request, launch.folder) as links,
            _torchrun(ranks, {SOCKET: str(links.path), "OMP_NUM_THREADS": str(threads)}) as process,
        ):
            yield LocalRanks(links, process)


@contextmanager
def _torchrun(ranks: int, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    # Ranks of one machine meet on it, and nobody else does.
    environment |= {"GLOO_SOCKET_IFNAME": "lo"}
    with held_port(HERE) as port:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "torch.distributed.run"),
                *("--nnodes", "1", "--nproc-per-node", str(ranks), "--max-restarts", "0"),
                *("--master-addr", HERE, "--master-port", str(port)),
                *("-m", RANK_MODULE),
            ],
            stdin=subprocess.DEVNULL,
            env=os.environ | environment,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def _cores_for_each(ranks: int) -> int:
    return max(1, len(os.sched_getaffinity(0)) // ranks)
