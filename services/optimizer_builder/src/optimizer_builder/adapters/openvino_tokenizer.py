"""The tokenizer beside the model: as OpenVINO models, which GenAI needs, and as its own files."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import openvino as ov
import openvino_genai
from evaluation.parity.errors import TOKENIZER_MISMATCH, ParityError
from openvino_tokenizers import convert_tokenizer
from tokenization.bounded.here import BoundedTokenizer
from transformers import AutoTokenizer

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


class EngineTokenizer:
    """The engine's own tokenizer, with the chat template as it is rendered in serving."""

    def __init__(self, folder: Path) -> None:
        self._ours = BoundedTokenizer.load(folder)
        self._engine: Any = openvino_genai.Tokenizer(str(folder))

    def render(
        self, messages: Sequence[Any], *, add_generation_prompt: bool, tools: Sequence[Any] = ()
    ) -> str:
        """See `evaluation.parity.taking.PromptTokenizer`."""
        return self._ours.render(messages, add_generation_prompt=add_generation_prompt, tools=tools)

    def encode(self, text: str) -> list[int]:
        """Ids of the text as it is."""
        ids: list[int] = (
            self._engine.encode(text, add_special_tokens=False).input_ids.data[0].tolist()
        )
        return ids


def check_tokenizer(folder: Path) -> None:
    """See that the engine's tokenizer and ours read every probe as the same tokens.

    Raises:
        ParityError: TOKENIZER_MISMATCH; names the text.
    """
    ours, engine = BoundedTokenizer.load(folder), EngineTokenizer(folder)
    for text in PROBES:
        if engine.encode(text) != ours.encode(text):
            raise ParityError(
                TOKENIZER_MISMATCH, f"the built tokenizer reads {text!r} as other tokens"
            )
