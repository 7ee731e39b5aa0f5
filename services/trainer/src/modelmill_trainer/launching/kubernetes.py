"""Launches ranks on Kubernetes as a Kubeflow TrainJob."""

import hashlib
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from modelmill_trainer.domain.cluster import KubernetesCluster
from modelmill_trainer.launching.file_channel import FileChannel
from modelmill_trainer.launching.launcher import Launch, Rank
from modelmill_trainer.launching.train_job import KubernetesError, TrainJobs, how_ended, train_job

log = logging.getLogger(__name__)

POLL_SECONDS = 5.0
UNREACHABLE_SECONDS = 300.0
"""Tolerated outage of the API server, during which the ranks run on."""


class RemoteRanks:
    """A TrainJob and the message channel to its ranks."""

    def __init__(
        self,
        channel: FileChannel,
        jobs: TrainJobs,
        name: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._channel = channel
        self._jobs = jobs
        self._name = name
        self._clock = clock
        self._next_poll = 0.0
        self._last_answer = clock()
        self._ended: str | None = None

    @property
    def connected(self) -> list[Rank]:
        """See `RunningRanks`."""
        return list(self._channel.ranks)

    def receive(self, seconds: float) -> tuple[Rank, dict[str, Any]] | None:
        """See `RunningRanks`."""
        return self._channel.receive(seconds)

    def end_reason(self) -> str | None:
        """See `RunningRanks`; polls the API server every few seconds."""
        if self._ended is None and self._clock() >= self._next_poll:
            self._next_poll = self._clock() + POLL_SECONDS
            self._ended = self._poll()
        return self._ended

    def _poll(self) -> str | None:
        try:
            job = self._jobs.read(self._name)
        except KubernetesError as error:
            if self._clock() - self._last_answer > UNREACHABLE_SECONDS:
                return str(error)
            log.warning("TrainJob %s: %s", self._name, error)
            return None
        self._last_answer = self._clock()
        return how_ended(job) if job is not None else f"TrainJob {self._name} is gone"


class KubernetesLauncher:
    """Creates a TrainJob, and deletes it when the run ends in any way."""

    def __init__(self, cluster: KubernetesCluster) -> None:
        self._cluster = cluster
        self._jobs = TrainJobs(cluster)

    @contextmanager
    def started(self, launch: Launch) -> Iterator[RemoteRanks]:
        """See `Launcher`. Raises KubernetesError when the API server refuses the job."""
        ranks = launch.distribution.ranks
        request = {**launch.request, "threads": self._cluster.rank_cpus}
        channel = FileChannel(request, launch.folder, ranks)
        # The folder is unique to the attempt, and so is the name.
        name = "mill-" + hashlib.sha256(str(launch.folder).encode()).hexdigest()[:24]
        manifest = train_job(name, self._cluster, ranks=ranks, channel=str(channel.path))
        try:
            self._jobs.create(manifest)
            yield RemoteRanks(channel, self._jobs, name)
        finally:
            self._jobs.delete(name)
