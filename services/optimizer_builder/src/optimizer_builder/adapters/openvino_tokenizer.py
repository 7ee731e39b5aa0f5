"""The tokenizer beside the model: as OpenVINO models, which GenAI needs, and as its own files."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import openvino as ov
import openvino_genai
from openvino_tokenizers import convert_tokenizer
from tokenization.chat_tokenizer import ChatTokenizer
from transformers import AutoTokenizer

from optimizer_builder.domain.parity import ParityError

COPIED = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
PROBES = (
    "the price of 2 or 3  spaced words",
    "价格是多少？ 12,345 元",
    "naïve café 🙂\n\tdef f(x): return x**2",
)
"""Texts of several scripts, with what tokenizers differ on: digits, spaces, bytes of emoji."""


def write_tokenizer(source: Path, folder: Path) -> None:
    """Put the tokenizer of a Hugging Face folder beside an IR."""
    tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=True)
    encoder, decoder = convert_tokenizer(tokenizer, with_detokenizer=True)
    ov.save_model(encoder, folder / "openvino_tokenizer.xml")
    ov.save_model(decoder, folder / "openvino_detokenizer.xml")
    for name in COPIED:
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)


def check_tokenizer(folder: Path, texts: Sequence[str]) -> None:
    """See that the engine's tokenizer and ours read every text as the same tokens.

    Raises:
        ParityError: They do not; names the text.
    """
    ours = ChatTokenizer.load(folder)
    engine = openvino_genai.Tokenizer(str(folder))
    for text in (*PROBES, *texts):
        theirs = engine.encode(text, add_special_tokens=False).input_ids.data[0].tolist()
        if theirs != ours.encode(text):
            raise ParityError(f"the built tokenizer reads {text!r} as other tokens")
