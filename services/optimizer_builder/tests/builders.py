"""Sources of builds: artifacts in the store and announcements on the bus."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from modelmill.jobs.v1.job_pb2 import JobState
from modelmill.registry.v1.model_events_pb2 import DatasetReady, ModelReady
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import DATASET_READY, MODEL_READY
from modelmill_registry.store import FolderStore
from modelmill_testkit.job_end import job_end
from safetensors.numpy import save_file

TENANT = "acme"
CHOICES = ("person", "animal", "plant")
RANK = 4
HIDDEN = 64
SHAPES = {"q_proj": 64, "v_proj": 32, "o_proj": 64}
"""Output widths in the tiny model of the linear layers that the adapter changes."""


def make_adapter(folder: Path, base: Path, *, seed: int = 1) -> Path:
    """A LoRA adapter of the tiny Llama with random weights, as PEFT writes one."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    tensors = {}
    for layer in range(2):
        for name, width in SHAPES.items():
            stem = f"base_model.model.model.layers.{layer}.self_attn.{name}"
            tensors[f"{stem}.lora_A.weight"] = random.normal(0, 0.2, (RANK, HIDDEN))
            tensors[f"{stem}.lora_B.weight"] = random.normal(0, 0.2, (width, RANK))
    save_file(
        {name: values.astype(np.float32) for name, values in tensors.items()},
        folder / "adapter_model.safetensors",
    )
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": None,
        "inference_mode": True,
        "r": RANK,
        "lora_alpha": 2 * RANK,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": list(SHAPES),
    }
    (folder / "adapter_config.json").write_text(json.dumps(config))
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (folder / name).write_bytes((base / name).read_bytes())
    return folder


def make_rows(count: int, *, seed: int = 2) -> list[dict[str, object]]:
    """Random questions with random answers."""
    random = np.random.default_rng(seed)
    words = ["birth", "small", "order", "food", "place", "offspring", "kind", "first", "thing"]
    return [
        {
            "messages": [
                {"role": "user", "content": f"{' '.join(random.choice(words, 3))} {number}"},
                {"role": "assistant", "content": str(random.choice(CHOICES))},
            ],
            "row": number,
        }
        for number in range(count)
    ]


@dataclass
class World:
    """Artifact store and bus with the announcements of other services."""

    store: FolderStore
    bus: Bus
    scratch: Path

    async def add_dataset(
        self,
        dataset_id: str,
        rows: Sequence[object],
        training: Sequence[object] = (),
        choices: Sequence[str] = CHOICES,
    ) -> DatasetReady:
        """A dataset with these test rows, and training rows if there are any."""
        folder = self.scratch / dataset_id
        folder.mkdir(parents=True)
        for split, its_rows in (("test", rows), ("train", training)):
            if its_rows:
                lines = "".join(json.dumps(row) + "\n" for row in its_rows)
                (folder / f"{split}.jsonl").write_text(lines)
        manifest = self.store.commit(
            folder, kind="dataset", form="chat-jsonl", attributes={"choices": list(choices)}
        )
        ready = DatasetReady(dataset_id=dataset_id, tenant=TENANT, digest=manifest.digest)
        await self.bus.publish(DATASET_READY, ready)
        return ready

    async def announce(self, model: ModelReady) -> ModelReady:
        await self.bus.publish(MODEL_READY, model)
        return model

    async def ended(self, job_id: str, *, within: float = 200) -> JobState:
        """The job's terminal state, once its build is announced."""
        return await job_end(self.bus, job_id, within=within)


def adapter_version(digest: str, base: ModelReady, dataset_id: str = "") -> ModelReady:
    """The trainer's announcement of an adapter."""
    return ModelReady(
        version_id="mv-adapter",
        tenant=TENANT,
        name="tiny-tuned",
        form="adapter",
        digest=digest,
        parent_version_id=base.version_id,
        base_version_id=base.version_id,
        job_id="ftjob-1",
        dataset_id=dataset_id,
        context_tokens=512,
    )


def run_script(name: str, *arguments: str | Path) -> dict[str, Any]:
    """Run a script of this folder in a subprocess and return the JSON of its last line."""
    return run_scripts({name: arguments})[name]


def run_scripts(scripts: Mapping[str, Sequence[str | Path]]) -> dict[str, dict[str, Any]]:
    """Run scripts with their arguments, one after the other in one subprocess.

    Torch, NNCF and OpenVINO are imported once, which takes longer than most of what they do.

    Returns:
        By script the JSON of the last line that it prints.
    """
    folder = Path(__file__).parent
    given = [[str(folder / name), *map(str, words)] for name, words in scripts.items()]
    command = [sys.executable, str(folder / "run_scripts.py"), json.dumps(given)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=380)
    assert done.returncode == 0, done.stderr[-4000:]
    return dict(zip(scripts, json.loads(done.stdout.splitlines()[-1]), strict=True))
