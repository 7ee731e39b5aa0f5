"""What real training needs: a tiny base model, a dataset, and trainers as processes."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from modelmill.registry.v1.model_events_pb2 import DatasetReady
from modelmill.trainer.v1 import trainer_service_pb2 as pb
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import DATASET_READY
from modelmill_jobs.submit import JobQueue
from modelmill_registry.model_folder import import_model
from modelmill_registry.store import FolderStore
from modelmill_service_kit.bus_access import Credential
from modelmill_service_kit.errors import UnavailableError
from modelmill_testkit.models import make_tiny_llama
from modelmill_tokenization.bounded.here import try_tokenizer

from tests.chaos.fleet import Place
from tests.chaos.plan import Plan

TENANT, DATASET = "chaos", "ds-chaos"
ROWS = 60
CLUES = {"animal": "paw", "plant": "leaf", "food": "salt"}
RETRY_SECONDS = 0.3
METHODS = {
    # Dropout draws from torch's generator, so its state counts too.
    "lora": (
        pb.TRAINING_METHOD_LORA,
        pb.HyperParameters(lora_rank=4, lora_dropout=0.1, gradient_accumulation_steps=2),
    ),
    "full": (
        pb.TRAINING_METHOD_FULL,
        pb.HyperParameters(weight_decay=0.1, gradient_accumulation_steps=1),
    ),
}
COMMON = pb.HyperParameters(learning_rate=0.01, epochs=100, batch_size=6)


class TrainerPlace(Place):
    """Where a real trainer works, one job at a time."""

    def command(self, plan: Plan, folder: Path) -> Sequence[str]:
        return ("modelmill_trainer.main",)

    def environment(self, credential: Credential, plan: Plan, folder: Path) -> Mapping[str, str]:
        token = str(credential)
        settings = {
            "NATS_URL": self._url,
            "NATS_TOKEN": token,
            "SERVICE_SECRET": token,
            "ARTIFACT_ROOT": str(folder / "artifacts"),
            "WORK_ROOT": str(folder / "work"),
            "ROLE": "work",
            "THREADS": "1",
            "CLAIM_SECONDS": str(plan.claim_seconds),
        }
        return {f"TRAINER_{name}": value for name, value in settings.items()}


class Site:
    """The bus, the artifacts, and who asks for training."""

    def __init__(self, bus: Bus, folder: Path, rows: int = ROWS) -> None:
        self._bus = bus
        self._rows = rows
        self._folder = folder
        self._store = FolderStore(folder / "artifacts")
        self._base_version_id = ""

    async def furnish(self) -> None:
        """Bring in the base model and the dataset."""
        base = make_tiny_llama(self._folder / "base")
        ready = await import_model(
            self._bus, self._store, base, tenant=TENANT, name="tiny", try_out=try_tokenizer
        )
        self._base_version_id = ready.version_id
        rows = write_rows(self._folder / "rows", self._rows)
        manifest = await asyncio.to_thread(
            self._store.commit,
            rows,
            kind="dataset",
            form="chat-jsonl",
            attributes={"choices": list(CLUES)},
        )
        dataset = DatasetReady(dataset_id=DATASET, tenant=TENANT, digest=manifest.digest)
        await self._bus.publish(DATASET_READY, dataset, msg_id=DATASET)

    async def submit(self, method: str, steps: int, save_every: int, key: str) -> str:
        """Order a training; asked again until it is accepted."""
        kind, choices = METHODS[method]
        spec = pb.TrainSpec(
            base_version_id=self._base_version_id,
            dataset_id=DATASET,
            name=method,
            method=kind,
            hyper_parameters=pb.HyperParameters(max_steps=steps, checkpoint_steps=save_every),
        )
        for each in (COMMON, choices):
            spec.hyper_parameters.MergeFrom(each)
        while True:
            try:
                job = await JobQueue(self._bus).submit(
                    kind="train",
                    prefix="ftjob",
                    tenant=TENANT,
                    requested_by="chaos",
                    idempotency_key=key,
                    spec=spec,
                )
            except UnavailableError:
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return job.job_id

    def made(self, digest: str) -> dict[str, Any]:
        """SHA-256 of each weights file of an artifact, and the loss of each step."""
        weights: dict[str, Any] = {
            entry.path: entry.sha256
            for entry in self._store.manifest(digest).files
            if entry.path.endswith(".safetensors")
        }
        lines = (self._store.materialise(digest) / "metrics.jsonl").read_text().splitlines()
        steps = [json.loads(line) for line in lines]
        return weights | {"losses": [(step["step"], step["loss"]) for step in steps]}


def write_rows(folder: Path, count: int = ROWS) -> Path:
    """The splits of a toy dataset, in a new folder."""
    folder.mkdir()
    lines = []
    for number in range(count):
        answer = list(CLUES)[number % len(CLUES)]
        turns = (
            ("system", "Name the kind of thing."),
            ("user", f"{number} has {CLUES[answer]}"),
            ("assistant", answer),
        )
        messages = [{"role": role, "content": content} for role, content in turns]
        lines.append(json.dumps({"messages": messages, "row": number + 1}) + "\n")
    splits = {"train": lines[:-6], "valid": lines[-6:-3], "test": lines[-3:]}
    for split, rows in splits.items():
        (folder / f"{split}.jsonl").write_text("".join(rows))
    return folder
