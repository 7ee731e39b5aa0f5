"""Parent of a distributed run: launches the ranks and relays the leader's reports to the worker."""

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

from modelmill_trainer.domain.child_requests import TrainRequest
from modelmill_trainer.launching.kubernetes import KubernetesLauncher
from modelmill_trainer.launching.launcher import Launch, Launcher, Rank, RunningRanks
from modelmill_trainer.launching.socket_channel import SocketChannel
from modelmill_trainer.training.distributed.process_names import (
    RANK_MODULE,
    RESHARD_MODULE,
    SOCKET,
    rank_folder,
)

HERE = "127.0.0.1"
START_SECONDS = 300.0
POLL_SECONDS = 0.2
"""Interval of checks for a stop request and for ended processes."""
LEADER = 0
LAST_WORDS_SECONDS = 5.0
"""After a rank has ended, how long to wait for a failure message of another rank."""


class LocalRanks:
    """A torchrun process and the message channel to its ranks."""

    def __init__(self, channel: SocketChannel, torchrun: subprocess.Popen[bytes]) -> None:
        self._channel = channel
        self._torchrun = torchrun

    @property
    def connected(self) -> list[Rank]:
        """See `RunningRanks`."""
        return list(self._channel.ranks)

    def receive(self, seconds: float) -> tuple[Rank, dict[str, Any]] | None:
        """See `RunningRanks`."""
        return self._channel.receive(seconds)

    def end_reason(self) -> str | None:
        """See `RunningRanks`."""
        status = self._torchrun.poll()
        return None if status is None else f"torchrun ended with status {status}"


class LocalLauncher:
    """Starts torchrun in this process group; torchrun starts each rank in a group of its own.

    A rank ends when its connection to this process closes, so a kill leaves no orphans.
    """

    @contextmanager
    def started(self, launch: Launch) -> Iterator[LocalRanks]:
        """See `Launcher`. Raises ChildFailure if the extra `ranks` is not installed."""
        if find_spec("deepspeed") is None:
            raise ChildFailure(
                "RANKS_NOT_INSTALLED",
                "this worker cannot run distributed training: DeepSpeed is not installed",
                "Install modelmill-trainer[ranks] on the workers, or train in one process.",
            )
        ranks = launch.distribution.ranks
        threads = launch.request["threads"] or _cores_for_each(ranks)
        request = {**launch.request, "threads": threads}
        with (
            SocketChannel(request, launch.folder) as channel,
            _torchrun(
                ranks, {SOCKET: str(channel.path), "OMP_NUM_THREADS": str(threads)}
            ) as process,
        ):
            yield LocalRanks(channel, process)


@contextmanager
def _torchrun(ranks: int, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    # The rendezvous must not be reachable from other machines.
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


class RanksDiedError(RuntimeError):
    """A rank ended without a failure message; the job is retried."""


def run_ranks(port: ChildPort) -> Mapping[str, Any]:
    """Run the TrainRequest of `port` on the requested number of ranks.

    Raises:
        ChildFailure: a rank has failed with a typed reason.
        Preempted: the run was asked to stop; all ranks saved after the same step.
        RanksDiedError: a rank ended without a reason; all others were ended.
    """
    request = TrainRequest.from_json(port.request)
    assert request.distribution is not None
    port.report("load", max_silence_seconds=START_SECONDS)
    checkpoint = checkpoint_for_ranks(request, port.folder)
    asked = replace(request, checkpoint_folder=checkpoint).as_json()
    launch = Launch(asked, request.distribution, port.folder)
    with launcher_for(request).started(launch) as ranks:
        return _Relay(port, ranks, request.distribution.ranks).run()


def checkpoint_for_ranks(request: TrainRequest, folder: Path) -> Path | None:
    """The checkpoint to resume from, resharded first if its number of ranks differs.

    Args:
        folder: Parent of the resharded checkpoint.
    """
    given = request.checkpoint_folder
    assert request.distribution is not None
    ranks = request.distribution.ranks
    if given is None or len(list(given.glob(rank_folder("*")))) == ranks:
        return given
    converted = folder / "resharded"
    arguments = [str(given), str(converted), str(ranks), str(request.hyper_parameters.seed)]
    subprocess.run([sys.executable, "-m", RESHARD_MODULE, *arguments], check=True)
    return converted


def launcher_for(request: TrainRequest) -> Launcher:
    """The launcher of a request: Kubernetes or local."""
    if request.cluster is not None:
        return KubernetesLauncher(request.cluster)
    return LocalLauncher()


class _Relay:
    """Forwards messages of the leader until every rank has ended."""

    def __init__(self, port: ChildPort, ranks: RunningRanks, count: int) -> None:
        self._port = port
        self._ranks = ranks
        self._count = count
        self._unfinished = set(range(count))
        self._stop_sent = False
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
        """The leader's result, once every rank has succeeded."""
        while self._unfinished:
            self._pass_on_stop()
            end_reason = self._ranks.end_reason()
            if (received := self._ranks.receive(POLL_SECONDS)) is not None:
                rank, message = received
                self._on[message["type"]](rank, message)
            elif end_reason is not None:
                raise RanksDiedError(end_reason)
        return self._result

    def _died(self, how: str) -> RanksDiedError:
        """The error for a dead rank; raises another rank's ChildFailure instead, if there is one.

        A failing rank takes the others down, and the order of their messages is arbitrary.
        """
        give_up = time.monotonic() + LAST_WORDS_SECONDS
        while (
            time.monotonic() < give_up
            and (received := self._ranks.receive(POLL_SECONDS)) is not None
        ):
            rank, message = received
            if message["type"] == "failed":
                self._on_failed(rank, message)
        return RanksDiedError(how)

    def _pass_on_stop(self) -> None:
        # Only once all are connected: a rank that stops alone would leave the others waiting.
        connected = self._ranks.connected
        if self._port.stop_requested and not self._stop_sent and len(connected) == self._count:
            for rank in connected:
                rank.stop()
            self._stop_sent = True

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
        # During training all ranks stop after the same step, saved. Before and after there is
        # nothing to save.
        raise Preempted

    def _on_gone(self, rank: Rank, _message: dict[str, Any]) -> None:
        if rank.number in self._unfinished:
            raise self._died(f"rank {rank.number} is gone")
