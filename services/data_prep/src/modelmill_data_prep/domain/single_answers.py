"""The answers of rows in which one question has one answer, as labels have."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from modelmill_data_prep.domain.flat_lists import as_list


def single_answers(rows: pa.RecordBatch) -> list[str | None]:
    """Of each row of `ROWS` its answer; None where it is another conversation."""
    roles, contents = rows.column("roles"), rows.column("contents")
    offsets = roles.offsets.to_numpy().astype(np.int64)
    offsets -= offsets[0]
    # The last turn is the assistant's, so with these numbers of turns a question comes before it.
    turns, asked, answered, set_up = (
        np.diff(offsets),
        *(_of_role(roles.flatten(), role, offsets) for role in ("user", "assistant", "system")),
    )
    single = (asked == 1) & (answered == 1) & (turns - set_up == 2)
    last = pa.array(np.where(single, offsets[1:] - 1, 0), pa.int64(), mask=~single)
    return as_list(contents.flatten().take(last))


def _of_role(roles: pa.Array, role: str, offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of each row how many of its turns are the role's."""
    marks = pc.equal(roles, role).to_numpy(zero_copy_only=False)
    before = np.concatenate(([0], np.cumsum(marks)))
    return before[offsets[1:]] - before[offsets[:-1]]
