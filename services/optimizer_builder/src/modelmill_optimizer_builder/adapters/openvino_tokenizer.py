"""Writes the tokenizer of a build: as OpenVINO models, which GenAI needs, and as HF files.

Conversion and engine run a tokenizer with their own libraries, which no earlier import has tested:
both run in bounded processes.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from modelmill_evaluation.parity.goldens import TOKENIZER_MISMATCH, ParityError
from modelmill_tokenization.bounded.call import CallLimits, bounded_call
from modelmill_tokenization.bounded.here import BoundedTokenizer

from modelmill_optimizer_builder.adapters.no_telemetry import forbid_telemetry
from modelmill_optimizer_builder.adapters.tokenizer_files import copy_tokenizer

PROBES = (
    "the price of 2 or 3  spaced words",
    "价格是多少？ 12,345 元",
    "naïve café 🙂\n\tdef f(x): return x**2",
)
"""Probe texts of several scripts, with digits, spaces and emoji, on which tokenizers differ."""


def write_tokenizer(source: Path, folder: Path) -> None:
    """Convert and copy the tokenizer of a Hugging Face folder.

    Raises:
        InvalidInputError: It cannot be converted.
        LimitError: Conversion exceeded a time or memory limit.
    """
    given = {"source": str(source), "folder": str(folder)}
    bounded_call(f"{__name__}:write_engine_tokenizer", given)
    copy_tokenizer(source, folder)


def read_by_engine(
    folder: Path,
    texts: Sequence[str],
    limits: CallLimits = CallLimits(),  # noqa: B008  frozen
) -> list[list[int]]:
    """Token ids of each text by the engine's tokenizer, without a chat template.

    Raises:
        InvalidInputError: The engine cannot load or run it.
        LimitError: That exceeded a time or memory limit.
    """
    given = {"folder": str(folder), "texts": list(texts)}
    ids: list[list[int]] = bounded_call(f"{__name__}:engine_ids", given, limits)
    return ids


def check_tokenizer(
    folder: Path,
    limits: CallLimits = CallLimits(),  # noqa: B008  frozen
) -> None:
    """Verify that the engine's tokenizer and ours encode every probe alike.

    Raises:
        ParityError: TOKENIZER_MISMATCH; names the text.
        LimitError: One of them exceeded a time or memory limit.
    """
    ours = BoundedTokenizer.load(folder)
    for text, ids in zip(PROBES, read_by_engine(folder, PROBES, limits), strict=True):
        if ids != ours.encode(text):
            raise ParityError(
                TOKENIZER_MISMATCH, f"the built tokenizer encodes {text!r} as other tokens"
            )


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
