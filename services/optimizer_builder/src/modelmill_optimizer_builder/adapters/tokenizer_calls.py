"""What the engine's tokenizer is written and read by; called in bounded processes, never here.

Conversion and engine run a tokenizer by libraries of their own, which an import has not tried.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelmill_optimizer_builder.adapters.no_telemetry import forbid_telemetry


def write_engine_tokenizer(given: Mapping[str, str]) -> None:
    """Write the tokenizer of a Hugging Face folder, `source`, into `folder` as OpenVINO models."""
    forbid_telemetry()
    # No tokenizer needs it, and it is most of what importing transformers takes.
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
    """Ids of each of `texts` by the engine's tokenizer of `folder`."""
    forbid_telemetry()
    import openvino_genai

    engine: Any = openvino_genai.Tokenizer(given["folder"])
    return [
        engine.encode(text, add_special_tokens=False).input_ids.data[0].tolist()
        for text in given["texts"]
    ]
