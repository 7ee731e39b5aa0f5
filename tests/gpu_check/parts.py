"""The parts of the GPU check; each runs in a process of its own and prints its entries.

    python -m tests.gpu_check.parts PART FOLDER [BASE]

Libraries are imported inside the functions: a part whose library is missing says so, and the others
run. FOLDER is scratch. BASE is a Hugging Face folder; without one a tiny model is made.
"""

import hashlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.gpu_check.record import Entry

ROWS, STEPS, STOP_AT = 48, 12, 5
LABELS = ("animal", "plant", "food")
NEW_TOKENS = 16
ENGINE_TOLERANCE = 0.05
"""Of the norm of the logits: bfloat16 has eight bits."""
ENGINE_SHARE = 0.7
"""The limit of forms in bf16 and int8 as served."""
CHOICES: dict[str, Any] = {
    **{"epochs": 3, "max_steps": STEPS, "batch_size": 8, "learning_rate": 0.01},
    **{"lora_rank": 8, "checkpoint_steps": 4},
}


def lora(folder: Path, base: Path) -> list[Entry]:
    """A whole LoRA run in the compute dtype: the loss falls and the artifact is the model."""
    return _trained(folder, base, "lora")


def qlora(folder: Path, base: Path) -> list[Entry]:
    """The same over a base in four bits."""
    return _trained(folder, base, "qlora")


def zero3(folder: Path, base: Path) -> list[Entry]:
    """A run by ZeRO-3 in bfloat16, of one rank: its steps, gathering, and the artifact."""
    from modelmill_testkit.ports import free_port
    from modelmill_trainer.domain.distribution import Distribution
    from modelmill_trainer.training.distributed.zero_update import ZeroRun
    from modelmill_trainer.training.fine_tune import fine_tune

    os.environ |= {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    wanted = _request(folder, base, "lora", distribution=Distribution(precision="bf16"))
    with ZeroRun.joined(wanted) as joined:
        done = fine_tune(_Port(wanted, folder / "run"), joined)
    return [_learned("gpu.zero3", done["summary"])]


def resume(folder: Path, base: Path) -> list[Entry]:
    """A run that was stopped and resumed against one that was not: equal in every bit."""
    from modelmill_jobs.child import Preempted
    from modelmill_trainer.training.fine_tune import fine_tune

    wanted = _request(folder, base, "lora")
    whole = _Port(wanted, folder / "whole")
    fine_tune(whole)
    stopped = _Port(wanted, folder / "stopped", stop_at=STOP_AT)
    with suppress(Preempted):
        fine_tune(stopped)
    resumed = _Port(wanted | {"checkpoint_folder": str(stopped.saved)}, folder / "resumed")
    fine_tune(resumed)
    left = [_digests(port.folder) for port in (whole, resumed)]
    equal = sum(left[0][name] == left[1].get(name) for name in left[0]) / len(left[0])
    note = f"files of the artifact that are equal, stopped after step {STOP_AT} of {STEPS}"
    return [
        Entry("gpu.resume", equal, "share", "a run that was not stopped", "= 1", equal == 1.0, note)
    ]


def engine(folder: Path, base: Path) -> list[Entry]:
    """The reference engine's logits against those of float32 on the processor."""
    import numpy as np
    from modelmill_inference.children.transformers_model import open_model

    load = {"folder": str(base), "adapter": "", "threads": 0}
    prompt = [token % 300 for token in range(3, 40)]
    found = open_model(load | {"device": "auto", "dtype": "bfloat16"})
    exact = open_model(load | {"device": "cpu", "dtype": "float32"})
    one, other = (
        model.read(list(prompt), model.new_memory(), keep=len(prompt)) for model in (found, exact)
    )
    apart = float(np.linalg.norm(one - other) / np.linalg.norm(other))
    note = f"logits of {len(prompt)} positions in bfloat16"
    goal, met = f"<= {ENGINE_TOLERANCE}", apart <= ENGINE_TOLERANCE
    return [Entry("gpu.engine", apart, "of the norm", "float32 on the processor", goal, met, note)]


def vllm(folder: Path, base: Path) -> list[Entry]:
    """vLLM's greedy tokens against those of the reference engine, both in bfloat16."""
    from modelmill_inference.children.transformers_model import open_model
    from vllm import LLM, SamplingParams

    model = open_model(
        {"folder": str(base), "adapter": "", "threads": 0, "device": "auto", "dtype": "bfloat16"}
    )
    prompt = [token % 300 for token in range(3, 40)]
    memory, tokens, given = model.new_memory(), [], list(prompt)
    for _ in range(NEW_TOKENS):
        tokens.append(int(model.read(given, memory)[-1].argmax()))
        given = tokens[-1:]
    del model, memory
    served = LLM(model=str(base), dtype="bfloat16", gpu_memory_utilization=0.5, max_model_len=256)
    options = SamplingParams(temperature=0, max_tokens=NEW_TOKENS, ignore_eos=True)
    [answer] = served.generate([{"prompt_token_ids": prompt}], options)
    same = 0
    for one, other in zip(answer.outputs[0].token_ids, tokens, strict=False):
        if one != other:
            break
        same += 1
    # Random weights leave near ties, which bfloat16 may turn: the first token has none to follow.
    note = f"of {NEW_TOKENS} greedy tokens those before the first that differs"
    return [
        Entry("gpu.vllm", float(same), "tokens", "the reference engine", ">= 1", same >= 1, note)
    ]


def tensorrt(folder: Path, base: Path) -> list[Entry]:
    """A TensorRT engine, built from its plan: its logits against those of the source."""
    import tensorrt  # noqa: F401  before work that would be for nothing
    from modelmill_optimizer_builder.child import load_form
    from modelmill_optimizer_builder.make_build import FormRequest, Source

    prompt = [token % 300 for token in range(3, 40)]
    pair = load_form("tensorrt-engine").make(
        FormRequest(
            source=Source(base, None),
            prompts=[prompt],
            scratch=folder / "scratch",
            target=folder / "built",
            report=lambda *_told: None,
        )
    )
    graph, built = pair.parity["forms"][-2:]
    against = "the source in float32"
    return [
        _alike(
            "gpu.tensorrt.graph", graph, 0.5, "the graph in ONNX Runtime, on the processor", against
        ),
        _alike("gpu.tensorrt", built, ENGINE_SHARE, "the engine, on its GPU", against),
    ]


def _alike(name: str, likeness: dict[str, Any], most: float, note: str, against: str) -> Entry:
    apart = likeness["root_mean_square_share"]
    unit = "of the logits' standard deviation"
    return Entry(name, apart, unit, against, f"<= {most}", apart <= most, note)


PARTS: dict[str, Callable[[Path, Path], list[Entry]]] = {
    each.__name__: each for each in (lora, qlora, zero3, resume, engine, vllm, tensorrt)
}


class _Port:
    """A port of which nobody hears; told to stop after a step."""

    def __init__(self, request: dict[str, Any], folder: Path, stop_at: int = 0) -> None:
        folder.mkdir(parents=True)
        self.request, self.folder, self._stop_at = request, folder, stop_at
        self.stop_requested = False
        self.saved = folder

    def report(self, phase: str, *, done: int = 0, **_rest: Any) -> None:
        """See `ChildPort`."""
        self.stop_requested |= phase == "train" and done == self._stop_at > 0

    def checkpoint(self, folder: Path, step: int) -> None:
        """See `ChildPort`."""
        self.saved = folder


def _trained(folder: Path, base: Path, method: str) -> list[Entry]:
    from modelmill_trainer.training.fine_tune import fine_tune

    done = fine_tune(_Port(_request(folder, base, method), folder / "run"))
    reloaded = done["parity"]["forms"][-1]["largest_share"]
    note = "largest share of a difference of logits; the limit of training itself is 0.001"
    against = "the artifact in transformers, float32"
    return [
        _learned(f"gpu.{method}", done["summary"]),
        Entry(
            f"gpu.{method}.parity", reloaded, "share", against, "<= 0.001", reloaded <= 0.001, note
        ),
    ]


def _learned(name: str, summary: dict[str, Any]) -> Entry:
    first, last = summary["first_loss"], summary["last_loss"]
    memory = summary["peak_memory_bytes"] / 2**20
    note = f"{STEPS} steps, {summary['tokens_per_second']:.0f} tokens/s, peak {memory:.0f} MiB"
    return Entry(
        name, last / first, "of the first loss", "the first step", "< 1", last < first, note
    )


def _request(folder: Path, base: Path, method: str, **more: Any) -> dict[str, Any]:
    from modelmill_trainer.domain.child_requests import TrainRequest
    from modelmill_trainer.domain.hyper_parameters import decide

    return TrainRequest(
        base_folder=base,
        base_version_id="mv-base",
        context_tokens=512,
        dataset_folder=_rows(folder / "rows"),
        checkpoint_folder=None,
        choices=LABELS,
        hyper_parameters=decide(method, CHOICES),
        threads=0,
        **more,
    ).as_json()


def _rows(folder: Path) -> Path:
    """A small classification dataset: the last word of a text says its kind."""
    folder.mkdir(parents=True)
    kinds = {"paw": "animal", "leaf": "plant", "crust": "food"}
    rows = [
        {
            "row": number + 1,
            "messages": [
                {"role": "user", "content": f"thing {number} has {word}"},
                {"role": "assistant", "content": kinds[word]},
            ],
        }
        for number in range(ROWS)
        for word in [list(kinds)[number % 3]]
    ]
    splits = {"train": rows[:36], "valid": rows[36:39], "test": rows[39:]}
    for name, part in splits.items():
        lines = "".join(json.dumps(row) + "\n" for row in part)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    return folder


def _digests(folder: Path) -> dict[str, str]:
    """Of weights and configuration, not of what says how long it took."""
    made = folder / "model"
    names = ("adapter_model.safetensors", "adapter_config.json", "evaluation.json")
    return {name: hashlib.sha256((made / name).read_bytes()).hexdigest() for name in names}


def main(arguments: Sequence[str]) -> int:
    """Run one part; its entries, or why it did not run, are the last line of stdout."""
    name, folder, *given = arguments
    try:
        base = Path(given[0]) if given else _tiny_base(Path(folder) / "base")
        entries = PARTS[name](Path(folder), base)
    except ImportError as error:
        print(json.dumps({"not_run": f"cannot import: {error}"}))
        return 0
    print(json.dumps({"entries": [entry.as_json() for entry in entries]}))
    return 0


def _tiny_base(folder: Path) -> Path:
    from modelmill_testkit.models import make_tiny_llama

    return make_tiny_llama(folder)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
