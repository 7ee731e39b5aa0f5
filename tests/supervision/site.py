"""A real `mill up` on a folder of its own: what is asked of it, and which processes it is."""

import asyncio
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from modelmill_cli.commands.models import bring_in
from modelmill_cli.gateway import DEFAULT_TENANT
from modelmill_cli.state_folder import StateFolder
from modelmill_client import Modelmill, ModelmillError, Retries
from modelmill_service_kit.endings import descendants
from modelmill_service_kit.errors import DomainError
from modelmill_testkit.models import make_tiny_llama

from tests.bad_input.mill import StartedMill
from tests.e2e.conftest import HYPER_PARAMETERS, MAPPING, write_rows

SERVICES = ("moderation", "data_prep", "trainer", "optimizer_builder", "inference", "gateway")
ROLES = {
    **{f"modelmill_{name}.main": name for name in SERVICES},
    "modelmill_cli.parent_watchdog": "watchdog",
    "modelmill_data_prep.child": "dataset job",
    "modelmill_trainer.child": "training job",
    "modelmill_optimizer_builder.child": "build job",
    "torch.distributed.run": "torchrun",
    "modelmill_trainer.training.distributed.rank": "rank",
}
"""What a process is, by the module that it runs."""
GATEWAY_PROCESS, BROKER, ENGINE = "gateway process", "broker", "engine"
MODEL = "tiny"
LOOK_SECONDS = 0.02
ENVIRONMENT = {
    "GATEWAY_PROCESSES": "2",
    # The engine that is killed is the one that answers.
    "INFERENCE_TRANSFORMERS_SPARE": "false",
    **{f"{name}_CLAIM_SECONDS": "3" for name in ("TRAINER", "DATA_PREP", "OPTIMIZER_BUILDER")},
}


class Site:
    """One state folder, and the mill that works on it."""

    def __init__(self, folder: Path) -> None:
        self.state = StateFolder(folder / "state")
        self.mill: StartedMill
        self._rows = write_rows(folder / "rows.jsonl", 60)
        self._base = folder / "base"
        make_tiny_llama(self._base)

    def up(self, python: str = sys.executable) -> None:
        """Start a mill, of this installation or another one; it is ready."""
        self.mill = StartedMill(
            self.state.path, "up", "--http-port", "0", python=python, **ENVIRONMENT
        )
        self.mill.wait_for_line("ready: http")

    def bring_model(self) -> None:
        asyncio.run(bring_in(self.state, self._base, name=MODEL, tenant=DEFAULT_TENANT))

    def client(self) -> Modelmill:
        """It asks once: what does not answer is looked at by the tests."""
        return self.mill.client().with_options(retries=Retries(times=0))

    def answers(self) -> bool:
        """Whether a request is taken and a chat is answered by the model."""
        question = {
            "model": MODEL,
            "max_tokens": 4,
            "messages": [{"role": "user", "content": "thing 7"}],
        }
        with suppress(DomainError, ModelmillError), self.client() as client:
            ready = client.ready()["status"] == "ok"
            answer = client.request("POST", "/v1/chat/completions", json=question)
            return ready and answer["usage"]["completion_tokens"] > 0
        return False

    def ordered_dataset(self) -> tuple[str, str]:
        """Ids of a dataset and its job."""
        with self.client() as client:
            file = client.files.upload(self._rows)
            dataset = client.datasets.create(file_id=file["id"], name="rows", mapping=MAPPING)
        return dataset["id"], dataset["job_id"]

    def ordered_training(self, dataset_id: str, **more: Any) -> str:
        """Id of a training job."""
        body: dict[str, Any] = {
            "model": MODEL,
            "training_file": dataset_id,
            "suffix": "kinds",
            "hyperparameters": HYPER_PARAMETERS,
            **more,
        }
        with self.client() as client:
            return str(client.fine_tuning.jobs.create(**body)["id"])

    def job(self, job_id: str) -> dict[str, Any]:
        """Its record; empty while the gateway does not answer."""
        with suppress(DomainError, ModelmillError), self.client() as client:
            return dict(client.jobs.retrieve(job_id))
        return {}

    def has_open_jobs(self) -> bool:
        """Whether any job has not ended; builds are ordered by the system itself."""
        with suppress(DomainError, ModelmillError), self.client() as client:
            return any(job["status"] in ("queued", "running") for job in client.jobs.list())
        return True

    def processes(self) -> dict[str, list[psutil.Process]]:
        """All that run below the mill, by what they are."""
        found: dict[str, list[psutil.Process]] = {}
        for process in descendants(self.state.mark):
            with suppress(psutil.Error):
                found.setdefault(_role(process), []).append(process)
        return found

    def below(self, process: psutil.Process) -> list[psutil.Process]:
        """The process with all that it has started."""
        with suppress(psutil.Error):
            return [process, *process.children(recursive=True)]
        return [process]


def _role(process: psutil.Process) -> str:
    words = process.cmdline()
    if "-m" not in words:
        return BROKER if words and Path(words[0]).name == "nats-server" else "helper"
    module = words[words.index("-m") + 1]
    if module.startswith("modelmill_inference.children."):
        return ENGINE
    role = ROLES.get(module, module)
    if role == "gateway" and "modelmill_gateway.main" in process.parent().cmdline():
        return GATEWAY_PROCESS
    return role


def is_gone(process: psutil.Process) -> bool:
    """Ended, though perhaps nobody has asked for its status yet."""
    with suppress(psutil.NoSuchProcess):
        return process.status() == psutil.STATUS_ZOMBIE or not process.is_running()
    return True


def becomes_true(condition: Callable[[], object], *, within: float) -> float | None:
    """Seconds until it was so; None when it was not within the time."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > within:
            return None
        time.sleep(LOOK_SECONDS)
    return time.monotonic() - began
