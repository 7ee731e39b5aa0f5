"""Child of test_building: plants one fault after another in a good build, prints the errors.

python plant_faults.py BASE ADAPTER BUILD SCRATCH
"""

import json
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from modelmill_optimizer_builder.adapters.no_telemetry import forbid_telemetry

forbid_telemetry()

import torch  # noqa: E402
from modelmill_evaluation.parity.goldens import ParityError  # noqa: E402
from modelmill_evaluation.parity.taking import TokenizerFacts, take_goldens  # noqa: E402
from modelmill_optimizer_builder.adapters.golden_check import GoldenCheck  # noqa: E402
from modelmill_optimizer_builder.adapters.merge_check import check_merge  # noqa: E402
from modelmill_optimizer_builder.adapters.merge_source import merge_source  # noqa: E402
from modelmill_optimizer_builder.adapters.merged_model import MergedModel  # noqa: E402
from modelmill_optimizer_builder.adapters.openvino_build import check_built  # noqa: E402
from modelmill_optimizer_builder.adapters.openvino_int8 import OpenVinoInt8  # noqa: E402
from modelmill_optimizer_builder.adapters.openvino_tokenizer import write_tokenizer  # noqa: E402
from modelmill_optimizer_builder.make_build import Source  # noqa: E402
from modelmill_testkit.models import make_other_openvino  # noqa: E402
from modelmill_tokenization.chat_tokenizer import ChatTokenizer  # noqa: E402
from peft import PeftModel  # noqa: E402
from transformers import AutoModelForCausalLM  # noqa: E402


def verdict(check: Callable[[], object]) -> list[str]:
    """Error code and message of the check; "fine" if it passes."""
    try:
        check()
    except ParityError as error:
        return [error.code, error.message]
    return ["fine", ""]


def verdict_on(build: Path) -> list[str]:
    no_generator: Any = None  # the goldens lie in the build
    goldens = GoldenCheck(Source(build, None), no_generator, 512)
    return verdict(lambda: check_built(goldens, build, OpenVinoInt8.form))


def merged_in(dtype: torch.dtype, base: Path, adapter: Path) -> MergedModel:
    """A merge with base and adapter loaded in one dtype."""
    module: Any = AutoModelForCausalLM.from_pretrained(base, dtype=dtype)
    merged = PeftModel.from_pretrained(module, adapter).to(dtype).merge_and_unload()
    return MergedModel(merged.eval().to(torch.bfloat16))


class Unmerged:
    """Base and adapter unmerged in float32, as in training, with given continuations."""

    def __init__(self, base: Path, adapter: Path) -> None:
        module: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        self._module = PeftModel.from_pretrained(module, adapter).eval()

    def continuations(
        self, prompts: Sequence[Sequence[int]], new_tokens: int
    ) -> list[Sequence[int]]:
        return [range(20, 20 + new_tokens) for _ in prompts]

    @torch.inference_mode()
    def logits(
        self, prompts: Sequence[Sequence[int]], continuations: Sequence[Sequence[int]]
    ) -> Iterator[Any]:
        for prompt, spoken in zip(prompts, continuations, strict=True):
            ids = torch.tensor([[*prompt, *spoken[:-1]]])
            yield self._module(input_ids=ids).logits[0, -len(spoken) :].numpy()


def trained_adapter(base: Path, adapter: Path, folder: Path) -> Path:
    """The adapter as training writes it, with goldens of the unmerged model."""
    shutil.copytree(adapter, folder)
    facts = TokenizerFacts("", "", {}, knows_tools=False, dated=False)
    unmerged = Unmerged(base, adapter)
    goldens = take_goldens(
        (), ChatTokenizer.load(base), facts, unmerged, compute="float32", context_tokens=512
    )
    goldens.write(folder)
    return folder


def with_other_scale(adapter: Path) -> None:
    file = adapter / "adapter_config.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps(config | {"lora_alpha": config["lora_alpha"] + 1}))


def with_other_template(build: Path) -> None:
    template = build / "chat_template.jinja"
    template.write_text(template.read_text().replace("assistant\n", "assistant:\n"))


def with_template_of_other_tools(build: Path) -> None:
    """Renders every golden as before."""
    template = build / "chat_template.jinja"
    template.write_text(template.read_text() + "{% if tools %}{{ tools }}{% endif %}")


def without_end_of_turn(folder: Path) -> None:
    """Unregister the special token; it stays in the vocabulary."""
    file = folder / "tokenizer.json"
    document = json.loads(file.read_text())
    document["added_tokens"] = [
        token for token in document["added_tokens"] if token["content"] != "<|im_end|>"
    ]
    file.write_text(json.dumps(document))


def without_it_in_the_engine(build: Path) -> None:
    """Convert the engine's tokenizer from a faulty one; the copied files stay intact."""
    spoilt, converted = build.with_name("spoilt"), build.with_name("converted")
    shutil.copytree(build, spoilt)
    without_end_of_turn(spoilt)
    # transformers puts back what the configuration names, and so hides the fault.
    file = spoilt / "tokenizer_config.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps(config | {"eos_token": "<|endoftext|>", "pad_token": None}))
    converted.mkdir()
    write_tokenizer(spoilt, converted)
    for path in converted.glob("openvino_*"):
        shutil.copyfile(path, build / path.name)


def main(base: Path, adapter: Path, build: Path, scratch: Path) -> dict[str, Any]:
    facts: dict[str, Any] = {"honest build": verdict_on(build)}
    for spoil in (
        with_other_template,
        with_template_of_other_tools,
        without_end_of_turn,
        without_it_in_the_engine,
    ):
        spoilt = scratch / spoil.__name__ / "build"
        shutil.copytree(build, spoilt)
        spoil(spoilt)
        facts[spoil.__name__] = verdict_on(spoilt)
    facts["other weights"] = verdict_on(make_other_openvino(build, scratch / "other"))
    trained = trained_adapter(base, adapter, scratch / "trained")
    _, goldens = merge_source(Source(base, trained))
    facts["merged"] = goldens.record()
    with_other_scale(trained)
    facts["other scale"] = verdict(lambda: merge_source(Source(base, trained)))
    honest = check_merge(MergedModel.load(base, adapter), base, adapter)
    facts["honest merge"] = [honest.layers, honest.other_share]
    for dtype in (torch.bfloat16, torch.float16):
        wrong = merged_in(dtype, base, adapter)
        facts[f"merge in {dtype}"] = verdict(lambda wrong=wrong: check_merge(wrong, base, adapter))
    return facts


if __name__ == "__main__":
    print("\n" + json.dumps(main(*map(Path, sys.argv[1:]))))
