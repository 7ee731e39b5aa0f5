"""Names and columns of the files."""

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
