"""Child of `modelmill_testkit.models.make_tiny_openvino`: `python -m
modelmill_testkit._build_tiny_openvino IN OUT BITS [OUT BITS]...`.

Several builds of a model are made by one process, which imports for as long as it builds.
"""

import shutil
import sys
from pathlib import Path
from typing import Any

from modelmill_service_kit.large_imports import large_import


def build(source: Path, folder: Path, bits: int) -> None:
    """Export to int8 or int4 with the tokenizer as OpenVINO models beside it.

    Raises:
        FileNotFoundError: `source` is no model folder; said before the slow imports.
    """
    if not (source / "config.json").is_file():
        raise FileNotFoundError(f"no config.json in {source}")
    with large_import("bitsandbytes"):
        import openvino
        from openvino_tokenizers import convert_tokenizer
        from optimum.intel.openvino import OVModelForCausalLM, OVWeightQuantizationConfig
        from transformers import AutoTokenizer

    weights: dict[str, Any] = {"load_in_8bit": True}
    if bits == 4:
        grouped = OVWeightQuantizationConfig(bits=4, sym=False, group_size=32, ratio=1.0)
        weights = {"quantization_config": grouped}
    model = OVModelForCausalLM.from_pretrained(
        source, export=True, compile=False, local_files_only=True, **weights
    )
    model.save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=True)
    encoder, decoder = convert_tokenizer(tokenizer, with_detokenizer=True)
    openvino.save_model(encoder, folder / "openvino_tokenizer.xml")
    openvino.save_model(decoder, folder / "openvino_detokenizer.xml")
    for name in (
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
        "generation_config.json",
    ):
        shutil.copyfile(source / name, folder / name)


if __name__ == "__main__":
    for place, width in zip(sys.argv[2::2], sys.argv[3::2], strict=True):
        build(Path(sys.argv[1]), Path(place), int(width))
