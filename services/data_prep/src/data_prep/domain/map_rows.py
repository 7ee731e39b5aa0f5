"""Source rows to conversations with tidy texts."""

from collections.abc import Sequence

from data_prep.domain.mapping.map_block import map_block
from data_prep.domain.mapping.row_mapping import RowMapping
from data_prep.domain.rows import Conversation, RejectedRow, SourceRow, Turn
from data_prep.domain.text_form import normalise


def map_rows(
    rows: Sequence[SourceRow | RejectedRow], mapping: RowMapping
) -> tuple[list[Conversation], list[RejectedRow]]:
    """Map what can be mapped; rows that were rejected before stay rejected. Keeps the order."""
    passed = map_block(rows, mapping)
    conversations = [
        Conversation(
            row["line"],
            tuple(
                Turn(role, normalise(content))
                for role, content in zip(row["roles"], row["contents"], strict=True)
            ),
        )
        for row in passed.rows.to_pylist()
    ]
    refused = [
        RejectedRow(row["line"], row["rule"], row["detail"], row["sample"], row["source"])
        for row in passed.dropped.to_pylist()
    ]
    return conversations, refused
