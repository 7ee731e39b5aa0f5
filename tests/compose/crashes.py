"""Every container crashes once, in the middle of its work, and nothing is lost by it."""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.compose.containers import ComposeError, ComposeProject, until
from tests.compose.journey import ENDED, Journey, write_rows

HEAL_SECONDS = 120.0
FIND_SECONDS = 90.0
"""Above the age at which servers end connections, so that clients look names up again."""
READ_RPC_COUNTS = """
import os, urllib.request
file = next(v for k, v in os.environ.items() if k.endswith("_SERVICE_SECRET_FILE"))
secret = open(file).read().strip()
request = urllib.request.Request(
    "http://127.0.0.1:9090/metrics", headers={"Authorization": f"Bearer {secret}"})
print(urllib.request.urlopen(request, timeout=10).read().decode())
"""


class Crashes:
    """What is broken on purpose, and what must be true afterwards.

    Args:
        model: an alias that answers; its answer must not change.
    """

    def __init__(self, project: ComposeProject, journey: Journey, model: str, answer: str) -> None:
        self._project = project
        self._journey = journey
        self._model = model
        self._answer = answer

    def crash(self, service: str, *, during: Callable[[], None] = lambda: None) -> float:
        """Crash a service once `during` returns; seconds until it was healthy again.

        Raises:
            ComposeError: it did not heal, something that was known is gone, or the model answers
                otherwise.
        """
        before = self._journey.known()
        during()
        (victim,) = self._project.containers(service)
        seconds = self._project.crash_and_heal(victim, within=HEAL_SECONDS)
        lost = before - self._journey.known()
        if lost:
            raise ComposeError(f"after the crash of {service} these are gone: {sorted(lost)}")
        answer = self._journey.chat(self._model)
        if answer != self._answer:
            raise ComposeError(f"after the crash of {service} the model says {answer!r}")
        return seconds

    def crash_workers(self, folder: Path, base_version_id: str) -> dict[str, float]:
        """Crash each worker while it has a job; the jobs end well all the same."""
        journey, seconds = self._journey, {}
        rows, orders = write_rows(folder / "again.jsonl", 160), []
        seconds["data-prep"] = self.crash(
            "data-prep", during=lambda: orders.append(journey.order_dataset(rows))
        )
        ((dataset_id, dataset_job),) = orders
        journey.job_result(dataset_job)

        training = journey.order_training(dataset_id, base_version_id, epochs=4)
        seconds["trainer"] = self.crash("trainer", during=lambda: self._past(training, 8))
        version_id = journey.job_result(training)["version_id"]

        build = journey.build_of(version_id)
        seconds["optimizer-builder"] = self.crash(
            "optimizer-builder", during=lambda: self._runs(build)
        )
        journey.job_result(build)
        return seconds

    def _past(self, job_id: str, step: int) -> None:
        """Wait until a training has done so many steps, a checkpoint among them."""

        def done() -> bool:
            progress = self._unfinished(job_id).get("progress") or {}
            return progress.get("phase") == "train" and int(progress["done"]) >= step

        until(done, within=HEAL_SECONDS, what=f"{job_id} has done {step} steps")

    def _runs(self, job_id: str) -> None:
        def running() -> bool:
            return str(self._unfinished(job_id)["status"]) != "queued"

        until(running, within=HEAL_SECONDS, what=f"{job_id} runs")

    def _unfinished(self, job_id: str) -> dict[str, Any]:
        """The job's record; a crash after its end would prove nothing."""
        job = self._journey.job(job_id)
        if job["status"] in ENDED:
            raise ComposeError(f"{job_id} ended before its worker could be crashed: {job}")
        return job

    def chat_until_each_replica_answered(self, service: str) -> float:
        """Chat until every replica was asked; seconds until new ones were found.

        Raises:
            ComposeError: one was never asked.
        """
        replicas = self._project.containers(service)
        began = time.monotonic()

        def each_was_asked() -> bool:
            self._journey.chat(self._model)
            self._journey.judge_long_text()
            return all(self._calls_answered_by(one.id) for one in replicas)

        until(each_was_asked, within=FIND_SECONDS, what=f"each replica of {service} is asked")
        return time.monotonic() - began

    def chat_while_a_replica_dies(self, service: str, calls: int) -> int:
        """Chat on and kill one of the replicas halfway; how many chats failed at the first try."""
        victim = self._project.containers(service)[0]
        failed = 0
        for number in range(calls):
            if number == calls // 2:
                self._project.crash(victim)
            try:
                self._journey.chat(self._model, patience=0)
            except ComposeError:
                failed += 1
        return failed

    def _calls_answered_by(self, container_id: str) -> int:
        page = self._project.run("docker", "exec", container_id, "python", "-c", READ_RPC_COUNTS)
        counts = re.findall(r"^modelmill_rpc_server_seconds_count\{.*\} ([\d.e+]+)$", page, re.M)
        return int(sum(map(float, counts)))
