"""Child of test_int4: builds models whose layers look back only so far, and prints how far
they are off, and how far a model that looks back at everything would be.

python build_windows.py SCRATCH BASE
"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
from build_mixtures import GEMMA, decode, make_tiny  # first: it forbids telemetry
from modelmill_evaluation.parity.goldens import Goldens
from modelmill_optimizer_builder.adapters.merged_model import MergedModel
from modelmill_optimizer_builder.adapters.openvino_export import MODEL_FILE
from modelmill_optimizer_builder.adapters.openvino_int8 import OpenVinoInt8
from modelmill_optimizer_builder.adapters.openvino_parity import StatefulModel
from modelmill_optimizer_builder.make_build import FormRequest, Source
from modelmill_tokenization.chat_tokenizer import ChatTokenizer
from transformers import Gemma3TextConfig

STEPS = 6
WINDOW, ALL = 160, 4096
LONG = " ".join(f"{number} birds" for number in range(50))


def mistral(base: Path, folder: Path) -> Path:
    """The tiny Llama as a Mistral, whose weights have the same names."""
    shutil.copytree(base, folder)
    change(
        folder, model_type="mistral", architectures=["MistralForCausalLM"], sliding_window=WINDOW
    )
    return folder


def gemma(base: Path, folder: Path) -> Path:
    """A Gemma 3 of random weights, of whose layers one looks back at everything."""
    layers = ["sliding_attention", "full_attention"]
    return make_tiny(
        base, folder, Gemma3TextConfig, **GEMMA, sliding_window=WINDOW, layer_types=layers
    )


def change(folder: Path, **fields: object) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


def built(base: Path, scratch: Path) -> dict[str, object]:
    """The largest logit difference of the bf16 export over all steps, and that of no window."""
    asked = [{"role": "user", "content": LONG}]
    prompt = ChatTokenizer.load(base).encode_prompt(asked)
    target = scratch / "built"
    OpenVinoInt8().make(
        FormRequest(Source(base, None), [prompt[:64]], scratch, target, lambda *_report: None)
    )
    goldens = Goldens.read(target)
    assert goldens is not None
    said, expected = MergedModel.load(base, None).greedy_logits(prompt, STEPS)
    model = StatefulModel(scratch / "reference" / MODEL_FILE, {"INFERENCE_PRECISION_HINT": "f32"})
    decoded = decode(model, [*prompt, *said[:-1]], len(prompt))
    change(base, sliding_window=ALL)
    _, [blind] = MergedModel.load(base, None).greedy_logits(prompt, 1)
    return {
        "prompt": len(prompt),
        "longest_golden": max(len(golden.prompt_ids) for golden in goldens.prompts),
        "off": max(
            float(np.abs(one - other).max()) for one, other in zip(decoded, expected, strict=True)
        ),
        "blind": float(np.abs(blind - expected[0]).max()),
        "spread": max(float(np.ptp(each)) for each in expected),
        "steps": len(decoded),
    }


def main(root: Path, base: Path) -> dict[str, object]:
    """What test_int4 looks at."""
    return {
        "mistral": built(mistral(base, root / "mistral"), root / "m"),
        "gemma3": built(gemma(base, root / "gemma3"), root / "g3"),
    }


if __name__ == "__main__":
    print(json.dumps(main(*map(Path, sys.argv[1:]))))
