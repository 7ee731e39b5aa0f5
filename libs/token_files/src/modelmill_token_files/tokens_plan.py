"""Layout of token files, and the plan: for what token ids were made, and how much there is."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

TOKENS_FOLDER = "tokens"
"""In a dataset's folder."""
PLAN_FILE = "plan.json"
PACKS_FILE = "packs.arrow"
ORDER_FILE = "order.arrow"
"""In a dataset's folder, beside the splits: it holds for rows with and without token ids."""

TOKEN_ROWS = pa.schema(
    [
        # The whole row: prompt and answers.
        pa.field("ids", pa.list_(pa.int32()), nullable=False),
        # Where each stretch of `ids` begins that the loss is taken on; stretches are in order and
        # do not overlap.
        pa.field("loss_from", pa.list_(pa.int32()), nullable=False),
        # Where each of them ends: the first id that is no longer part of it.
        pa.field("loss_to", pa.list_(pa.int32()), nullable=False),
        # The row's number in the source, as in the split's JSON lines.
        pa.field("row", pa.int64(), nullable=False),
        # Of a preference pair: the worse answer, which follows `ids[: loss_from[-1]]` as the
        # better one does; null otherwise.
        pa.field("rejected_ids", pa.list_(pa.int32())),
    ]
)
"""Rows of a split, in the order of its JSON lines."""

PACKS = pa.schema([pa.field("rows", pa.list_(pa.int64()), nullable=False)])
"""Rows of train that share one sequence, by their place in the split from 0."""

ORDER = pa.schema(
    [
        # Place in the train split, from 0.
        pa.field("row", pa.int64(), nullable=False),
        # From 0, the easiest, to 1.
        pa.field("difficulty", pa.float32(), nullable=False),
        # 0 easy, 1 medium, 2 hard.
        pa.field("tier", pa.int8(), nullable=False),
    ]
)
"""Rows of train in the order in which they are trained on."""


def token_file_name(split: str) -> str:
    """The file of a split within `TOKENS_FOLDER`."""
    return f"{split}.arrow"


class TokenFilesError(ValueError):
    """Files that are not what they should be; nothing of them is to be used."""


FORMAT = 1
"""Another one whenever an older reader would misunderstand the files."""


@dataclass(frozen=True)
class SplitCounts:
    """What a split's token file holds."""

    rows: int = 0
    tokens: int = 0
    learned_tokens: int = 0
    """Those that the loss is taken on."""
    longest: int = 0
    """Tokens of the longest row."""


@dataclass(frozen=True, kw_only=True)
class TokensPlan:
    """The content of plan.json."""

    model: str
    """Version of the model, or its name, as it was asked for."""
    tokenizer: str
    """`tokenizer_digest` of its folder."""
    max_tokens: int
    """No row has more."""
    pack_tokens: int
    """No pack has more, but for one of a single row that is longer."""
    turns_not_learned: int = 0
    """Answers before the last one that the chat template does not write as they were given; the
    loss is not taken on them."""
    packs: int = 0
    splits: Mapping[str, SplitCounts] = field(default_factory=dict)

    def write(self, dataset: Path) -> None:
        """Write it into a dataset's folder."""
        document = {"format": FORMAT} | asdict(self)
        path = dataset / TOKENS_FOLDER / PLAN_FILE
        path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, dataset: Path) -> "TokensPlan | None":
        """That of a dataset's folder; None when it has none, or one of a format we do not know.

        Raises:
            TokenFilesError: it is not what we write.
        """
        path = dataset / TOKENS_FOLDER / PLAN_FILE
        if not path.is_file():
            return None
        try:
            document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            if document.pop("format") != FORMAT:
                return None
            splits = {name: SplitCounts(**it) for name, it in document.pop("splits").items()}
            return cls(**document, splits=splits)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise TokenFilesError(f"{path.name} is not a plan of token files: {error}") from error
