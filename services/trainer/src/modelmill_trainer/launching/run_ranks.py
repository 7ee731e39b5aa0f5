"""Several processes train one model; this one has them started and speaks for them."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from modelmill_jobs.child import ChildFailure, ChildPort, Preempted
from modelmill_service_kit.ports import held_port

from modelmill_trainer.domain.train_request import TrainRequest
from modelmill_trainer.launching.kubernetes import KubernetesLauncher
from modelmill_trainer.launching.launcher import Launch, Launcher, Rank, RunningRanks
from modelmill_trainer.launching.socket_links import SocketLinks
from modelmill_trainer.training.distributed.process_names import (
    RANK_MODULE,
    REGATHER_MODULE,
    SOCKET,
    rank_folder,
)

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


START_SECONDS = 300.0
LOOK_SECONDS = 0.2
"""How often it is looked whether the run shall stop, and whether its processes are there."""
LEADER = 0
LAST_WORDS_SECONDS = 5.0
"""So long others are listened to when a rank is gone, while they say something."""


class RanksDiedError(RuntimeError):
    """A process of the run ended without a word; another attempt may do better."""


def run_ranks(port: ChildPort) -> Mapping[str, Any]:
    """Do what `port.request` says on as many ranks; what their leader reports is passed on.

    Raises:
        ChildFailure: what a rank has refused.
        Preempted: told to stop; the ranks agreed on a step, and saved.
        RanksDiedError: a rank is gone; all others are, too.
    """
    request = TrainRequest.from_json(port.request)
    assert request.distribution is not None
    port.report("load", max_silence_seconds=START_SECONDS)
    checkpoint = for_these_ranks(request, port.folder)
    asked = replace(request, checkpoint_folder=checkpoint).as_json()
    launch = Launch(asked, request.distribution, port.folder)
    with launcher_for(request).started(launch) as ranks:
        return _Relay(port, ranks, request.distribution.ranks).run()


def for_these_ranks(request: TrainRequest, folder: Path) -> Path | None:
    """The checkpoint to go on from; one of another number of ranks is converted first.

    Args:
        folder: Where the conversion goes.
    """
    given = request.checkpoint_folder
    assert request.distribution is not None
    ranks = request.distribution.ranks
    if given is None or len(list(given.glob(rank_folder("*")))) == ranks:
        return given
    converted = folder / "regathered"
    arguments = [str(given), str(converted), str(ranks), str(request.hyper_parameters.seed)]
    subprocess.run([sys.executable, "-m", REGATHER_MODULE, *arguments], check=True)
    return converted


def launcher_for(request: TrainRequest) -> Launcher:
    """What starts the ranks of this run."""
    if request.cluster is not None:
        return KubernetesLauncher(request.cluster)
    return LocalLauncher()


class _Relay:
    """Passes on what the leader says, until all have ended."""

    def __init__(self, port: ChildPort, ranks: RunningRanks, count: int) -> None:
        self._port = port
        self._ranks = ranks
        self._count = count
        self._unfinished = set(range(count))
        self._told_to_stop = False
        self._result: dict[str, Any] = {}
        self._on: dict[str, Callable[[Rank, dict[str, Any]], None]] = {
            "progress": self._on_progress,
            "checkpoint": self._on_checkpoint,
            "succeeded": self._on_succeeded,
            "failed": self._on_failed,
            "preempted": self._on_preempted,
            "gone": self._on_gone,
        }

    def run(self) -> Mapping[str, Any]:
        """What the leader answers, once every rank has succeeded."""
        while self._unfinished:
            self._pass_on_stop()
            ended = self._ranks.ended()
            if (said := self._ranks.heard(LOOK_SECONDS)) is not None:
                rank, message = said
                self._on[message["type"]](rank, message)
            elif ended is not None:
                raise RanksDiedError(ended)
        return self._result

    def _died(self, how: str) -> RanksDiedError:
        """A rank is gone; raises instead what another one has refused.

        A rank that fails takes the others with it, and who is heard first is a matter of chance.
        """
        give_up = time.monotonic() + LAST_WORDS_SECONDS
        while time.monotonic() < give_up and (said := self._ranks.heard(LOOK_SECONDS)) is not None:
            rank, message = said
            if message["type"] == "failed":
                self._on_failed(rank, message)
        return RanksDiedError(how)

    def _pass_on_stop(self) -> None:
        # Each is told once, and all together: one that was told alone may stop on its own.
        reported = self._ranks.reported
        if self._port.stop_requested and not self._told_to_stop and len(reported) == self._count:
            for rank in reported:
                rank.stop()
            self._told_to_stop = True

    def _on_progress(self, rank: Rank, message: dict[str, Any]) -> None:
        if rank.number == LEADER:
            self._port.report(
                message["phase"],
                done=message["done"],
                total=message["total"],
                unit=message["unit"],
                metrics=message["metrics"],
                max_silence_seconds=message["max_silence_seconds"],
            )

    def _on_checkpoint(self, rank: Rank, message: dict[str, Any]) -> None:
        self._port.checkpoint(Path(message["folder"]), message["step"])
        rank.send({"saved_step": message["step"]})

    def _on_succeeded(self, rank: Rank, message: dict[str, Any]) -> None:
        self._unfinished.discard(rank.number)
        if rank.number == LEADER:
            self._result = message["result"]

    def _on_failed(self, _rank: Rank, message: dict[str, Any]) -> None:
        raise ChildFailure(message["code"], message["message"], message["remedy"])

    def _on_preempted(self, _rank: Rank, _message: dict[str, Any]) -> None:
        # While they train, ranks agree on it, and their state lasts by then; before and after
        # there is nothing to save.
        raise Preempted

    def _on_gone(self, rank: Rank, _message: dict[str, Any]) -> None:
        if rank.number in self._unfinished:
            raise self._died(f"rank {rank.number} is gone")
