"""Extracts answers of single-turn rows, from which classification labels are inferred."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from modelmill_data_prep.domain.flat_lists import as_list


def classification_answers(rows: pa.RecordBatch) -> list[str | None]:
    """Answer of each single-turn row of `ROWS`; None for other conversations."""
    roles, contents = rows.column("roles"), rows.column("contents")
    offsets = roles.offsets.to_numpy().astype(np.int64)
    offsets -= offsets[0]
    # The last message is the assistant's, so these counts imply one question before it.
    turns, asked, answered, set_up = (
        np.diff(offsets),
        *(_of_role(roles.flatten(), role, offsets) for role in ("user", "assistant", "system")),
    )
    single = (asked == 1) & (answered == 1) & (turns - set_up == 2)
    last = pa.array(np.where(single, offsets[1:] - 1, 0), pa.int64(), mask=~single)
    return as_list(contents.flatten().take(last))


def _of_role(roles: pa.Array, role: str, offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number of messages with a role, per row."""
    marks = pc.equal(roles, role).to_numpy(zero_copy_only=False)
    before = np.concatenate(([0], np.cumsum(marks)))
    return before[offsets[1:]] - before[offsets[:-1]]
