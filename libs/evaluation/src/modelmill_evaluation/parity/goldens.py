"""Goldens: what the model that was trained says to some conversations, as files of its artifact.

    parity/goldens.json        prompts and continuations, as text and token ids; digests; the format
                               that was computed in
    parity/logits.safetensors  at the prompt's end and along the continuation: the largest logits

They lie in a folder of their own, because engines take every safetensors file of a model's folder
for weights.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

TEMPLATE_MISMATCH = "TEMPLATE_MISMATCH"
TOKENIZER_MISMATCH = "TOKENIZER_MISMATCH"
SPECIAL_TOKEN_MISSING = "SPECIAL_TOKEN_MISSING"
MERGE_DTYPE = "MERGE_DTYPE"
LOGITS_DIFFER = "LOGITS_DIFFER"
GREEDY_DISAGREES = "GREEDY_DISAGREES"
TENSOR_MISSING = "TENSOR_MISSING"
TENSOR_ZEROED = "TENSOR_ZEROED"
TENSOR_SCALED = "TENSOR_SCALED"
WEIGHTS_DIFFER = "WEIGHTS_DIFFER"
CONFIG_DIFFERS = "CONFIG_DIFFERS"
HEAD_CONTRADICTS = "HEAD_CONTRADICTS"

REMEDIES = {
    TEMPLATE_MISMATCH: "Give the form the chat template that the model was trained with.",
    TOKENIZER_MISMATCH: "Give the form the tokenizer.json that the model was trained with.",
    SPECIAL_TOKEN_MISSING: "Add the token to tokenizer.json as one special token, with the id that "
    "the model learned, and make the form again.",
    MERGE_DTYPE: "Merge base and adapter in float32, and round the sum once.",
    LOGITS_DIFFER: "This architecture cannot be had in this form; report it.",
    GREEDY_DISAGREES: "Serve a form with more bits, or the source itself.",
    TENSOR_MISSING: "Make the form again, of all tensors of its source.",
    TENSOR_ZEROED: "Make the form again; a layer of zeros answers nothing.",
    TENSOR_SCALED: "Make the form again, with the weights of its source as they are.",
    WEIGHTS_DIFFER: "Make the form again; if it differs once more, report it.",
    CONFIG_DIFFERS: "Make the form again; if it differs once more, report it.",
    HEAD_CONTRADICTS: "Set tie_word_embeddings in config.json to what the weights are, and import "
    "the model again.",
}


class ParityError(Exception):
    """A form is not the model that was trained.

    Args:
        code: One of the names above.
        message: One clear line; what was found, and where.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def remedy(self) -> str:
        """What to do about it."""
        return REMEDIES[self.code]


FOLDER = "parity"
GOLDENS = f"{FOLDER}/goldens.json"
LOGITS = f"{FOLDER}/logits.safetensors"
KEPT = 256
"""Largest logits kept of each position; of a smaller vocabulary all."""
SCHEMA = 1

Logits = NDArray[np.float32]
"""(P, V): at P positions a score for each of V tokens."""


@dataclass(frozen=True)
class KeptLogits:
    """The largest logits at each position of a continuation, sorted from the largest down."""

    ids: NDArray[np.int32]
    """(P, K)."""
    values: NDArray[np.float32]
    """(P, K)."""
    spreads: NDArray[np.float32]
    """(P,): standard deviation over the whole vocabulary, the unit that differences are told in."""

    @classmethod
    def of(cls, logits_P_V: Logits, kept: int = KEPT) -> "KeptLogits":  # noqa: N803 - shape suffix
        """Keep the largest of whole rows."""
        # Stable, so that of equal logits the lower id is the greedy choice, as argmax has it.
        order = np.argsort(-logits_P_V, axis=-1, kind="stable")[:, :kept]
        return cls(
            order.astype(np.int32),
            np.take_along_axis(logits_P_V, order, axis=-1).astype(np.float32),
            logits_P_V.std(axis=-1, dtype=np.float64).astype(np.float32),
        )


@dataclass(frozen=True)
class Golden:
    """One conversation and what the model says to it."""

    name: str
    messages: tuple[Mapping[str, Any], ...]
    tools: tuple[Mapping[str, Any], ...]
    text: str
    """The prompt as the chat template renders it."""
    prompt_ids: tuple[int, ...]
    """As training encodes it."""
    continuation: tuple[int, ...]
    """Tokens that follow, at least one; every form reads them, so that one early difference does
    not make all that comes after it incomparable. The last is predicted, never read."""
    logits: KeptLogits
    """One position for each token of the continuation."""

    @property
    def greedy(self) -> NDArray[np.int32]:
        """The likeliest token at each position, given the continuation before it."""
        first: NDArray[np.int32] = self.logits.ids[:, 0]
        return first


@dataclass(frozen=True)
class Goldens:
    """All goldens of a model."""

    prompts: tuple[Golden, ...]
    compute: str
    """Format that the logits were computed in, for example "float32"."""
    tokenizer: str
    """Digest of tokenizer, template and named tokens (`modelmill_token_files.tokenizer_digest`)."""
    template: str
    """Digest of the chat templates alone."""
    special_tokens: Mapping[str, int]
    """Text and id of special tokens that a form must read as one token."""
    dated: bool = False
    """Whether the template writes the time: then no rendering can be compared with a later one."""

    @property
    def positions(self) -> int:
        """Positions whose logits are compared."""
        return sum(len(golden.continuation) for golden in self.prompts)

    @property
    def prompt_ids_told(self) -> str:
        """What is told of the prompts of a form that `check_prompts` accepted."""
        return "identical" if self.prompts else "not compared"

    @property
    def spoken(self) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
        """Prompts, and the continuation of each."""
        return (
            [golden.prompt_ids for golden in self.prompts],
            [golden.continuation for golden in self.prompts],
        )

    def write(self, folder: Path) -> None:
        """Write both files into an artifact's folder."""
        (folder / FOLDER).mkdir(exist_ok=True)
        tensors: dict[str, NDArray[Any]] = {}
        prompts = []
        for place, golden in enumerate(self.prompts):
            document = {name: value for name, value in vars(golden).items() if name != "logits"}
            prompts.append(document)
            for name, values in asdict(golden.logits).items():
                tensors[f"{place}.{name}"] = np.ascontiguousarray(values)
        head = {name: value for name, value in vars(self).items() if name != "prompts"}
        document = {"schema": SCHEMA, **head, "prompts": prompts}
        (folder / GOLDENS).write_text(
            json.dumps(document, ensure_ascii=False, indent=1), encoding="utf-8"
        )
        save_file(tensors, folder / LOGITS)

    @classmethod
    def read(cls, folder: Path) -> "Goldens | None":
        """The goldens of an artifact; None when it has none.

        Raises:
            ValueError: They are not of a schema that this release knows.
        """
        if not (folder / GOLDENS).is_file():
            return None
        document = json.loads((folder / GOLDENS).read_text(encoding="utf-8"))
        if document.pop("schema", None) != SCHEMA:
            raise ValueError(f"{GOLDENS} is of a schema that this release does not know")
        tensors = load_file(folder / LOGITS)
        prompts = [
            _golden(each, {name: tensors[f"{place}.{name}"] for name in _KEPT_FIELDS})
            for place, each in enumerate(document.pop("prompts"))
        ]
        return cls(prompts=tuple(prompts), **document)


_KEPT_FIELDS = ("ids", "values", "spreads")
_SEQUENCES = ("messages", "tools", "prompt_ids", "continuation")


def _golden(document: dict[str, Any], logits: Mapping[str, NDArray[Any]]) -> Golden:
    sequences: dict[str, Sequence[Any]] = {name: tuple(document[name]) for name in _SEQUENCES}
    return Golden(**document | sequences, logits=KeptLogits(**logits))
