"""Converts and runs the engine's tokenizer; called in bounded processes only.

Conversion and engine run a tokenizer with their own libraries, which no earlier import has tested.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelmill_optimizer_builder.adapters.no_telemetry import forbid_telemetry


def write_engine_tokenizer(given: Mapping[str, str]) -> None:
    """Convert the tokenizer of the Hugging Face folder `source` to OpenVINO models in `folder`."""
    forbid_telemetry()
    # No tokenizer needs torch, and it is most of the import time of transformers.
    sys.modules["torch"] = None  # type: ignore[assignment]
    import openvino as ov
    from openvino_tokenizers import convert_tokenizer
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(given["source"], local_files_only=True)
    encoder, decoder = convert_tokenizer(tokenizer, with_detokenizer=True)
    folder = Path(given["folder"])
    ov.save_model(encoder, folder / "openvino_tokenizer.xml")
    ov.save_model(decoder, folder / "openvino_detokenizer.xml")


def engine_ids(given: Mapping[str, Any]) -> list[list[int]]:
    """Token ids of each of `texts` by the engine's tokenizer in `folder`."""
    forbid_telemetry()
    import openvino_genai

    engine: Any = openvino_genai.Tokenizer(given["folder"])
    return [
        engine.encode(text, add_special_tokens=False).input_ids.data[0].tolist()
        for text in given["texts"]
    ]
