"""The loop as a client outside the containers goes through it, over the published HTTP port."""

import json
import time
from pathlib import Path
from typing import Any

import httpx

from tests.compose.containers import ComposeError

MAPPING = {
    "system_template": "Name the kind of thing.",
    "user_template": "{word}: {gloss}",
    "answer_template": "{label}",
}
HYPER_PARAMETERS = {
    "learning_rate": 0.01,
    "epochs": 3,
    "batch_size": 8,
    "gradient_accumulation_steps": 1,
    "lora_rank": 4,
    "checkpoint_steps": 5,
}
ENDED = ("succeeded", "failed", "cancelled")
JOB_SECONDS = 300.0
LONG_TEXT = "something that barks, " * 300
"""Longer than what the gateway judges itself."""
QUESTION = [{"role": "user", "content": "thing 7: something that barks"}]
POLL_SECONDS = 0.3
REQUEST_SECONDS = 120.0


class Journey:
    """Calls that retry while a service behind the gateway, or the gateway itself, is away.

    A retry of a request that creates a job carries the first one's Idempotency-Key, so that a call
    whose answer was lost makes one job.
    """

    def __init__(self, url: str, token: str) -> None:
        self._http = httpx.Client(
            base_url=url,
            headers={"authorization": f"Bearer {token}"},
            timeout=REQUEST_SECONDS,
            trust_env=False,
        )

    def close(self) -> None:
        self._http.close()

    def call(self, method: str, path: str, *, patience: float = 90.0, **arguments: Any) -> Any:
        """The answer's JSON, after as many tries as it takes.

        Raises:
            ComposeError: the gateway refused for good, or stayed away for `patience` seconds.
        """
        deadline = time.monotonic() + patience
        while True:
            problem = ""
            try:
                response = self._http.request(method, path, **arguments)
                if response.is_success:
                    return response.json()
                problem = f"{method} {path}: {response.status_code} {response.text[:300]}"
                if response.status_code not in (429, 502, 503, 504):
                    raise ComposeError(problem)
            except httpx.TransportError as error:
                problem = f"{method} {path}: {error!r}"
            if time.monotonic() > deadline:
                raise ComposeError(f"{problem}, for {patience:g} s")
            time.sleep(POLL_SECONDS)

    def order_dataset(self, rows: Path) -> tuple[str, str]:
        """Upload a file and order a dataset of it; ids of the dataset and of its job."""
        uploaded = self.call(
            "POST",
            "/v1/files",
            files={"file": (rows.name, rows.read_bytes())},
            data={"purpose": "fine-tune"},
        )
        accepted = self.call(
            "POST",
            "/v1/datasets",
            json={"file_id": uploaded["id"], "name": rows.stem, "mapping": MAPPING},
            headers={"Idempotency-Key": rows.stem},
        )
        return accepted["id"], accepted["job_id"]

    def order_training(self, dataset_id: str, base_version_id: str, **more: Any) -> str:
        """Order a fine-tuning; the job's id."""
        created = self.call(
            "POST",
            "/v1/fine_tuning/jobs",
            json={
                "model": base_version_id,
                "training_file": dataset_id,
                "suffix": "kinds",
                "hyperparameters": HYPER_PARAMETERS | more,
            },
            headers={"Idempotency-Key": f"train-{dataset_id}"},
        )
        return str(created["id"])

    def job(self, job_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.call("GET", f"/v1/jobs/{job_id}")
        return found

    def job_result(self, job_id: str) -> dict[str, Any]:
        """Wait until a job has succeeded; its result.

        Raises:
            ComposeError: it ended otherwise, or not in time.
        """
        deadline = time.monotonic() + JOB_SECONDS
        while (job := self.job(job_id))["status"] not in ENDED:
            if time.monotonic() > deadline:
                raise ComposeError(f"{job_id} has not ended in {JOB_SECONDS:g} s: {job}")
            time.sleep(POLL_SECONDS)
        if job["status"] != "succeeded":
            raise ComposeError(f"{job_id} {job['status']}: {job}")
        result: dict[str, Any] = job["result"]
        return result

    def build_of(self, adapter_version_id: str) -> str:
        """The job that the optimizer-builder ordered by itself for an adapter."""
        deadline = time.monotonic() + JOB_SECONDS
        while time.monotonic() < deadline:
            for job in self.call("GET", "/v1/jobs?kind=optimize")["data"]:
                if job["spec"].get("source_version_id") == adapter_version_id:
                    return str(job["id"])
            time.sleep(POLL_SECONDS)
        raise ComposeError(f"no build was ordered for {adapter_version_id}")

    def judge_long_text(self) -> None:
        """A verdict on a text that the gateway leaves to moderation."""
        self.call("POST", "/v1/moderations", json={"input": LONG_TEXT})

    def chat(self, model: str, *, patience: float = 90.0) -> str:
        """The model's answer to one question, without chance."""
        answered = self.call(
            "POST",
            "/v1/chat/completions",
            patience=patience,
            json={"model": model, "messages": QUESTION, "max_tokens": 12, "temperature": 0},
        )
        return str(answered["choices"][0]["message"]["content"])

    def known(self) -> set[str]:
        """Ids of everything the system keeps for us, ended jobs with how they ended."""
        kept: set[str] = set()
        for path in ("/v1/files", "/v1/datasets", "/v1/models"):
            kept |= {str(one["id"]) for one in self.call("GET", path)["data"]}
        jobs = self.call("GET", "/v1/jobs")["data"]
        return kept | {f"{one['id']} {one['status']}" for one in jobs if one["status"] in ENDED}


def write_rows(file: Path, count: int) -> Path:
    """A learnable task of two kinds."""
    with file.open("w") as rows:
        for number in range(count):
            kind, what = (("animal", "barks"), ("plant", "grows"))[number % 2]
            row = {"word": f"thing {number}", "gloss": f"something that {what}", "label": kind}
            rows.write(json.dumps(row) + "\n")
    return file
