"""Child of test_mixtures: builds models with latent attention and experts, prints measurements.

python build_mixtures.py SCRATCH BASE PREFIX
"""

import json
import sys
from pathlib import Path

from modelmill_optimizer_builder.adapters.no_telemetry import forbid_telemetry

forbid_telemetry()

import numpy as np  # noqa: E402
from modelmill_optimizer_builder.adapters.merged_model import MergedModel  # noqa: E402
from modelmill_optimizer_builder.adapters.openvino_int8 import MODEL_FILE, OpenVinoInt8  # noqa: E402
from modelmill_optimizer_builder.adapters.openvino_parity import StatefulModel  # noqa: E402
from modelmill_optimizer_builder.domain.build_plan import NotMergeableError  # noqa: E402
from modelmill_optimizer_builder.make_build import Source  # noqa: E402
from modelmill_testkit.models import make_tiny_deepseek  # noqa: E402
from modelmill_tokenization.chat_tokenizer import ChatTokenizer  # noqa: E402

STEPS = 6


def decode(model: StatefulModel, ids: list[int], prompt: int) -> list[np.ndarray]:
    """Logits after prefill and after each decode step."""
    model.reset()
    found = []
    for first, last in [(0, prompt), *((at, at + 1) for at in range(prompt, len(ids)))]:
        logits = model.run(
            np.array([ids[first:last]]),
            mask=np.ones((1, last), np.int64),
            positions=np.arange(first, last)[None],
            parents=[0],
            pick=np.array([[last - first - 1]]),
        )
        found.append(logits[0, 0].copy())
    return found


def build(version: int, scratch: Path) -> dict[str, float]:
    """Largest logit difference between the bf16 export and torch over all steps."""
    base = make_tiny_deepseek(scratch / "base", version=version)
    prompt = ChatTokenizer.load(base).encode_prompt([{"role": "user", "content": "hi"}])
    OpenVinoInt8().make(
        Source(base, None), [prompt], scratch, scratch / "built", lambda *_report: None
    )
    said, expected = MergedModel.load(base, None).greedy_logits(prompt, STEPS)
    model = StatefulModel(scratch / "reference" / MODEL_FILE, {"INFERENCE_PRECISION_HINT": "f32"})
    decoded = decode(model, [*prompt, *said[:-1]], len(prompt))
    off = max(
        float(np.abs(ours - theirs).max()) for ours, theirs in zip(decoded, expected, strict=True)
    )
    spread = max(float(np.ptp(theirs)) for theirs in expected)
    return {"off": off, "spread": spread, "steps": len(decoded)}


def refusal(base: Path, adapter: Path) -> str:
    """Error message for an adapter that cannot be merged."""
    try:
        MergedModel.load(base, adapter)
    except NotMergeableError as error:
        return str(error)
    return ""


if __name__ == "__main__":
    root = Path(sys.argv[1])
    found: dict[str, object] = {str(each): build(each, root / str(each)) for each in (3,)}
    print(json.dumps(found | {"refused": refusal(Path(sys.argv[2]), Path(sys.argv[3]))}))
