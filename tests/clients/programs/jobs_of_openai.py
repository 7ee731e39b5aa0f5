"""What runs for long, by OpenAI's client: training jobs, batches, evals."""

import json
from collections.abc import Callable
from typing import Any

from openai import OpenAI
from telling import MODEL, QUESTION, ROWS, until

PAIRS = {"asked-by": "python"}
EPOCHS = 100
"""So many that the job still runs when it is paused."""


class TrainingJob:
    """One job through all that can be done with it."""

    def __init__(self, client: OpenAI) -> None:
        self._client = client
        self._jobs = client.fine_tuning.jobs
        self._id = ""

    def create(self) -> None:
        stored = self._client.files.create(file=("rows.jsonl", ROWS), purpose="fine-tune")
        chosen = {"n_epochs": EPOCHS, "batch_size": 4}
        method = {"type": "supervised", "supervised": {"hyperparameters": chosen}}
        apart = self._client.files.create(file=("valid.jsonl", ROWS), purpose="fine-tune")
        job = self._jobs.create(
            model=MODEL,
            training_file=stored.id,
            validation_file=apart.id,
            metadata=PAIRS,
            method=method,
            suffix="mine",
        )
        self._id = job.id
        assert job.object == "fine_tuning.job"
        assert (job.validation_file, job.metadata) == (apart.id, PAIRS)

    def listed(self) -> None:
        assert self._id in [job.id for job in self._jobs.list()]
        assert [job.id for job in self._jobs.list(metadata=PAIRS)] == [self._id]

    def events(self) -> None:
        found = until(180, lambda: list(self._jobs.list_events(self._id)))
        assert found[0].object == "fine_tuning.job.event"

    def pause(self) -> None:
        until(180, lambda: self._is("running"))
        until(180, self._has_stepped)
        self._jobs.pause(self._id)
        until(180, lambda: self._is("paused"))

    def checkpoints(self) -> None:
        newest = next(iter(self._jobs.checkpoints.list(self._id)))
        assert newest.step_number > 0
        assert newest.metrics.train_loss is not None

    def resume(self) -> None:
        self._jobs.resume(self._id)
        until(180, lambda: self._is("running"))

    def cancel(self) -> None:
        self._jobs.cancel(self._id)
        until(180, lambda: self._is("cancelled"))

    def _has_stepped(self) -> bool:
        newest = self._jobs.list_events(self._id, limit=1).data[0]
        return newest.type == "metrics" and "loss" in newest.data

    def _is(self, status: str) -> bool:
        return self._jobs.retrieve(self._id).status == status


def batches(client: OpenAI) -> None:
    """A file of two chats, and what came of them."""
    body = {"model": MODEL, "messages": QUESTION, "max_tokens": 4}
    lines = [
        {"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "body": body}
        for name in ("first", "second")
    ]
    content = "\n".join(json.dumps(line) for line in lines).encode()
    stored = client.files.create(file=("batch.jsonl", content), purpose="batch")
    batch = client.batches.create(
        input_file_id=stored.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    ended = until(180, lambda: _ended(client, batch.id))
    assert ended.status == "completed", ended
    answers = client.files.content(ended.output_file_id).text.splitlines()
    assert {json.loads(answer)["custom_id"] for answer in answers} == {"first", "second"}


def _ended(client: OpenAI, batch_id: str) -> Any:
    batch = client.batches.retrieve(batch_id)
    return batch if batch.status in ("completed", "failed", "expired", "cancelled") else None


class Eval:
    """A definition and a run of it."""

    def __init__(self, client: OpenAI) -> None:
        self._evals = client.evals
        self._id = ""

    def create(self) -> None:
        schema = {"type": "object", "properties": {"word": {"type": "string"}}}
        made = self._evals.create(
            name="kinds",
            data_source_config={
                "type": "custom",
                "item_schema": schema,
                "include_sample_schema": True,
            },
            testing_criteria=[
                {
                    "type": "string_check",
                    "name": "says it",
                    "input": "{{ sample.output_text }}",
                    "reference": "{{ item.word }}",
                    "operation": "ne",
                }
            ],
        )
        self._id = made.id
        assert self._id in [it.id for it in self._evals.list()]

    def run(self) -> None:
        template = [{"role": "user", "content": "{{ item.word }}"}]
        run = self._evals.runs.create(
            self._id,
            name="one",
            data_source={
                "type": "completions",
                "model": MODEL,
                "input_messages": {"type": "template", "template": template},
                "sampling_params": {"max_completion_tokens": 4},
                "source": {"type": "file_content", "content": [{"item": {"word": "oak"}}]},
            },
        )
        ended = until(180, lambda: self._ended(run.id))
        assert ended.status == "completed", ended
        assert ended.result_counts.passed == 1

    def _ended(self, run_id: str) -> Any:
        run = self._evals.runs.retrieve(run_id, eval_id=self._id)
        return run if run.status in ("completed", "failed", "canceled") else None


def job_calls(client: OpenAI) -> dict[str, Callable[[], None]]:
    """The calls by their rows."""
    job, measured = TrainingJob(client), Eval(client)
    return {
        "fine_tuning: create": job.create,
        "fine_tuning: list": job.listed,
        "fine_tuning: events": job.events,
        "fine_tuning: pause": job.pause,
        "fine_tuning: checkpoints": job.checkpoints,
        "fine_tuning: resume": job.resume,
        "fine_tuning: cancel": job.cancel,
        "batches": lambda: batches(client),
        "evals": measured.create,
        "evals: run": measured.run,
    }
