"""Child of `modelmill_testkit.models.make_tiny_openvino`: `python -m
modelmill_testkit._build_tiny_openvino IN OUT`."""

import shutil
import sys
from pathlib import Path


def build(source: Path, folder: Path) -> None:
    """Export to int8 with the tokenizer as OpenVINO models beside it.

    Raises:
        FileNotFoundError: `source` is no model folder; said before the slow imports.
    """
    if not (source / "config.json").is_file():
        raise FileNotFoundError(f"no config.json in {source}")
    import openvino
    from openvino_tokenizers import convert_tokenizer
    from optimum.intel.openvino import OVModelForCausalLM
    from transformers import AutoTokenizer

    model = OVModelForCausalLM.from_pretrained(
        source, export=True, compile=False, load_in_8bit=True, local_files_only=True
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
    build(Path(sys.argv[1]), Path(sys.argv[2]))
