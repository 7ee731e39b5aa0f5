"""The steps of `mill demo`, each through the public API, each measured as it happens."""

import asyncio
import secrets
import shutil
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelmill_client import Modelmill
from modelmill_service_kit.errors import PreconditionError
from openai import BadRequestError, OpenAI
from rich.console import Console

from modelmill_cli.demo import recipe
from modelmill_cli.errors import DemoError
from modelmill_cli.gateway import DEFAULT_MODEL
from modelmill_cli.job_watch import LossCurve, watch_job


async def prepare_base(demo_folder: Path, base_folder: Path) -> None:
    """Make the base model's folder once; later runs find it there.

    Raises:
        PreconditionError: it could not be made; the message has the last word of who tried.
    """
    if (base_folder / "config.json").exists():
        return
    unfinished = base_folder.with_name(f"{base_folder.name}.part")
    shutil.rmtree(unfinished, ignore_errors=True)
    making = await asyncio.create_subprocess_exec(
        *(sys.executable, str(demo_folder / "base_model.py"), str(unfinished)),
        stdout=DEVNULL,
        stderr=PIPE,
    )
    try:
        _, errors = await making.communicate()
    except asyncio.CancelledError:
        making.kill()
        await making.wait()
        raise
    if making.returncode != 0:
        last_line = (errors.decode(errors="replace").strip().splitlines() or ["no output"])[-1]
        raise PreconditionError(f"the base model could not be made: {last_line}")
    unfinished.rename(base_folder)


BUILD_WAIT_SECONDS = 60.0


@dataclass
class Findings:
    """What the run measured; filled step by step."""

    seconds: dict[str, float] = field(default_factory=dict)
    dataset: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    build: dict[str, Any] = field(default_factory=dict)
    losses: list[float] = field(default_factory=list)
    refusal: str = ""
    question: str = ""
    answer: str = ""
    answered_by: str = ""
    chat_trace: str = ""
    job_trace: str = ""


@dataclass(frozen=True)
class ClientSpan:
    """A trace that the demo's own client starts, so that one tree holds all that follows."""

    trace_id: str
    span_id: str

    @classmethod
    def start(cls) -> "ClientSpan":
        return cls(secrets.token_hex(16), secrets.token_hex(8))

    @property
    def headers(self) -> dict[str, str]:
        return {"traceparent": f"00-{self.trace_id}-{self.span_id}-01"}


class Journey:
    """Raw rows to a served, guarded model, on a running stack."""

    def __init__(self, client: Modelmill, base_version_id: str, console: Console) -> None:
        self._client = client
        self._openai: OpenAI = client.openai()
        self._base = base_version_id
        self._console = console
        self.findings = Findings()

    def run(self, rows_file: Path) -> Findings:
        """Every step in order; returns what was measured."""
        dataset_id = self._timed("data-prep", lambda: self._make_dataset(rows_file))
        job = self._timed("training", lambda: self._train(dataset_id))
        build = self._timed("build", lambda: self._wait_for_build(job["fine_tuned_model"]))
        self._timed("serving", lambda: self._serve(build))
        self._ask()
        return self.findings

    def end(self) -> None:
        """Make `run`, in whatever thread it is, end at its next call."""
        self._client.close()
        self._openai.close()

    def _timed(self, name: str, step: Any) -> Any:
        started = time.monotonic()
        result = step()
        self.findings.seconds[name] = time.monotonic() - started
        return result

    def _make_dataset(self, rows_file: Path) -> str:
        uploaded = self._openai.files.create(file=rows_file, purpose="fine-tune")
        accepted = self._client.datasets.create(**recipe.DATASET, file_id=uploaded.id)
        job = watch_job(self._client, accepted["job_id"], "data-prep", self._console)
        self.findings.dataset = job["result"]["summary"]
        return str(accepted["id"])

    def _train(self, dataset_id: str) -> dict[str, Any]:
        span = ClientSpan.start()
        self.findings.job_trace = span.trace_id
        created = self._openai.fine_tuning.jobs.create(
            model=self._base,
            training_file=dataset_id,
            suffix=recipe.ALIAS,
            seed=recipe.SEED,
            extra_body={"hyperparameters": recipe.HYPER_PARAMETERS},
            extra_headers=span.headers,
        )
        curve = LossCurve()
        job = watch_job(
            self._client, created.id, "training", self._console, on_figures=curve.observe
        )
        self.findings.training = job["result"]["summary"]
        self.findings.losses = curve.losses
        return self._openai.fine_tuning.jobs.retrieve(created.id).to_dict()

    def _wait_for_build(self, adapter_version_id: str) -> str:
        """The optimizer-builder orders the build by itself; find that job and follow it."""
        deadline = time.monotonic() + BUILD_WAIT_SECONDS
        while time.monotonic() < deadline:
            for job in self._client.jobs.list(kind="optimize"):
                if job["spec"].get("source_version_id") == adapter_version_id:
                    done = watch_job(self._client, job["id"], "int8 build", self._console)
                    self.findings.build = done["result"]["summary"]
                    return str(done["result"]["version_id"])
            time.sleep(0.5)
        raise DemoError(f"no build of {adapter_version_id} was ordered")

    def _serve(self, version_id: str) -> None:
        for name in (recipe.ALIAS, DEFAULT_MODEL):
            self._client.aliases.set(name, version_id=version_id)

    def _ask(self) -> None:
        span = ClientSpan.start()
        self.findings.chat_trace = span.trace_id
        self.findings.question = recipe.QUESTION
        answer = self._openai.chat.completions.create(
            model=recipe.ALIAS,
            messages=[
                {"role": "system", "content": recipe.SYSTEM_TURN},
                {"role": "user", "content": recipe.QUESTION},
            ],
            max_tokens=16,
            temperature=0,
            extra_headers=span.headers,
        )
        self.findings.answer = answer.choices[0].message.content or ""
        self.findings.answered_by = answer.system_fingerprint or ""
        try:
            self._openai.chat.completions.create(
                model=recipe.ALIAS,
                messages=[{"role": "user", "content": recipe.REFUSED_PROMPT}],
            )
        except BadRequestError as refused:
            body = refused.body
            self.findings.refusal = body["message"] if isinstance(body, dict) else refused.message
        else:
            raise DemoError("the policy allowed a prompt that it must block")
