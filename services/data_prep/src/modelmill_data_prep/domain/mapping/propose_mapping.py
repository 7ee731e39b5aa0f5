"""Proposal of a mapping by the names of a file's columns, for who has not said one."""

from collections.abc import Sequence

from modelmill_documents.columns import (
    ANSWERS,
    LABELS,
    asked_of,
    column_named,
    known_layout,
    template_of,
)
from modelmill_service_kit.errors import InvalidInputError

READ_ALONE = {"mapping": {"layout": "text"}}
"""Stands in a spec until the columns are known, of which a mapping is proposed."""


def propose_mapping(columns: Sequence[str]) -> dict[str, str]:
    """A known layout, or else templates: one column is the answer, all others ask.

    Raises:
        InvalidInputError: There are too few columns to ask and to answer.
    """
    if layout := known_layout(columns):
        return {"layout": layout}
    usable = asked_of(columns)
    if len(usable) < 2:
        raise InvalidInputError(
            "mapping: none can be proposed, for the file has fewer than two columns. Say one"
        )
    answer = column_named(ANSWERS, usable) or column_named(LABELS, usable) or usable[-1]
    asked = [name for name in usable if name != answer]
    return {"user_template": template_of(asked), "answer_template": template_of([answer])}
