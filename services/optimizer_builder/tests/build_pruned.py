"""Child of test_pruning: prunes tiny models of several types, and prints what came of it.

python build_pruned.py SCRATCH
"""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from modelmill_evaluation.parity.goldens import Goldens, ParityError
from modelmill_optimizer_builder.adapters.merged_model import reference_module
from modelmill_optimizer_builder.adapters.pruned_form import PrunedForm
from modelmill_optimizer_builder.adapters.pruning import cut
from modelmill_optimizer_builder.domain.calibration import CalibrationSet
from modelmill_optimizer_builder.domain.pruning import Kept, ModelShape, Pruning
from modelmill_optimizer_builder.make_build import FormRequest, Source
from modelmill_testkit.models import write_tiny_tokenizer
from transformers import AutoConfig, AutoModelForCausalLM

CONTEXT = 256
SIZES = {
    **{"hidden_size": 96, "intermediate_size": 192, "num_hidden_layers": 5, "head_dim": 16},
    **{"num_attention_heads": 6, "num_key_value_heads": 3, "max_position_embeddings": CONTEXT},
    **{"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0},
}
MODELS: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen2": {"use_sliding_window": True, "sliding_window": 16, "max_window_layers": 2},
    "qwen3": {},
    "gemma3_text": {"sliding_window": 16, "query_pre_attn_scalar": 16},
    "smollm3": {},
}
EVERYTHING = Pruning(heads=0.34, mlp=0.33, layers=2)


def tiny(model_type: str, folder: Path) -> Path:
    """A model of five layers with random weights."""
    vocabulary = write_tiny_tokenizer(folder, CONTEXT)
    sizes = SIZES | MODELS[model_type] | {"vocab_size": vocabulary}
    torch.manual_seed(1)
    config = AutoConfig.for_model(model_type, **sizes)
    AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).save_pretrained(folder)
    return folder


def pruned(base: Path, root: Path, pruning: Pruning) -> dict[str, Any]:
    samples = tuple(tuple(range(3 + n, 43 + n)) for n in range(4))
    request = FormRequest(
        *(Source(base, None), [[5, 6, 7, 8]], root / "scratch", root / "built", lambda *_: None),
        calibration=CalibrationSet(samples, 0, 0),
        pruning=pruning,
    )
    pair = PrunedForm().make(request)
    config = json.loads((root / "built" / "config.json").read_text())
    goldens = Goldens.read(root / "built")
    return {
        "config": config,
        "method": dict(pair.method),
        "silenced": pair.parity["silenced"],
        "goldens": 0 if goldens is None else len(goldens.prompts),
        "share": pair.weights_bytes / pair.reference_bytes,
        "answers": len(reference_module(root / "built")(torch.tensor([[3, 4, 5]])).logits[0]),
    }


def wrongly_cut(base: Path, root: Path) -> str:
    """What is said where other heads are cut than were silent."""

    def cut_others(module: Any, kept: Kept, *shapes: ModelShape) -> None:
        others = tuple(tuple((group + 1) % 3 for group in groups) for groups in kept.groups)
        cut(module, replace(kept, groups=others), *shapes)

    with patch("modelmill_optimizer_builder.adapters.pruned_form.cut", cut_others):
        try:
            pruned(base, root, Pruning(heads=0.34))
        except ParityError as error:
            return error.code
    return "fine"


def main(scratch: Path) -> None:
    found: dict[str, Any] = {}
    for name in MODELS:
        base = tiny(name, scratch / name / "base")
        found[name] = pruned(base, scratch / name, EVERYTHING)
    base = scratch / "llama" / "base"
    found["layers"] = pruned(base, scratch / "layers", Pruning(layers=3))
    found["wrongly"] = wrongly_cut(base, scratch / "wrongly")
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
