"""For what a dataset's token ids were made, and how much there is of them."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from modelmill_token_files.layout import PLAN_FILE, TOKENS_FOLDER, TokenFilesError

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
