"""Writes the tokenizer of a build: as OpenVINO models, which GenAI needs, and as HF files."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from modelmill_evaluation.parity.goldens import TOKENIZER_MISMATCH, ParityError
from modelmill_tokenization.bounded.call import CallLimits, bounded_call
from modelmill_tokenization.bounded.here import BoundedTokenizer

from modelmill_optimizer_builder.adapters import tokenizer_calls

COPIED = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
PROBES = (
    "the price of 2 or 3  spaced words",
    "价格是多少？ 12,345 元",
    "naïve café 🙂\n\tdef f(x): return x**2",
)
"""Probe texts of several scripts, with digits, spaces and emoji, on which tokenizers differ."""


CALLS = tokenizer_calls.__name__


def write_tokenizer(source: Path, folder: Path) -> None:
    """Convert and copy the tokenizer of a Hugging Face folder.

    Raises:
        InvalidInputError: It cannot be converted.
        LimitError: Conversion exceeded a time or memory limit.
    """
    given = {"source": str(source), "folder": str(folder)}
    bounded_call(f"{CALLS}:write_engine_tokenizer", given)
    for name in COPIED:
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)


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
    ids: list[list[int]] = bounded_call(f"{CALLS}:engine_ids", given, limits)
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
