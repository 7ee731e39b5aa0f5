"""Whatever the values of a row, it is mapped or quarantined, whichever rows stand beside it."""

import json
from hashlib import sha256
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from modelmill_data_prep.domain.blocks import SourceRow
from modelmill_data_prep.domain.mapping.map_block import map_block
from modelmill_data_prep.domain.mapping.row_mapping import plan_mapping
from modelmill_data_prep.domain.row_batch import DROPPED, ROWS
from modelmill_data_prep.domain.written_rows import write_rows
from modelmill_documents.columns import LAYOUT_COLUMNS

names = st.sampled_from(
    ["messages", "conversations", "from", "value", "role", "content", "user", "assistant", "tool",
     "text", "prompt", "chosen", "rejected", "instruction", "output", "input", "history", "tools",
     "tool_calls", "function", "name", "arguments", "id", "tool_call_id", "human", "gpt", "system",
     "function_call", "observation", "type", "\ud800", "", " "]
)  # fmt: skip
values = st.recursive(
    st.one_of(
        names,
        st.none(),
        st.booleans(),
        st.integers(),
        st.integers(2**64, 2**70),
        st.floats(),
        st.text(max_size=5),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(names, inner, max_size=6)),
    max_leaves=20,
)
mappings = st.one_of(
    st.sampled_from([{"layout": layout} for layout in LAYOUT_COLUMNS]),
    st.sampled_from(
        [
            {"layout": "alpaca", "tools_column": "tools"},
            {"messages_column": "messages", "tools_column": "tools"},
            {"user_template": "{prompt} {text}", "answer_template": "{chosen}"},
            {
                "user_template": "{prompt}",
                "answer_template": "{chosen}",
                "rejected_template": "{rejected}",
                "tools_column": "tools",
            },
        ]
    ),
)


@given(st.lists(st.dictionaries(names, values, max_size=6), max_size=6), mappings)
def test_every_row_of_any_values_is_mapped_or_quarantined(
    rows: list[dict[str, Any]], mapping: dict[str, str]
) -> None:
    source = [SourceRow(place, row, b"%d" % place) for place, row in enumerate(rows)]

    passed = map_block(source, plan_mapping(mapping))

    assert (passed.rows.schema, passed.dropped.schema) == (ROWS, DROPPED)
    passed.rows.validate(full=True)
    kept, gone = passed.rows.to_pylist(), passed.dropped.to_pylist()
    assert sorted(row["line"] for row in [*kept, *gone]) == list(range(len(rows)))
    for row in [*kept, *gone]:
        assert row["source"] == sha256(b"%d" % row["line"]).digest()
    for row in kept:
        assert row["roles"][-1] == "assistant"
        assert len(row["roles"]) == len(row["contents"]) == len(row["extras"])
    assert all(json.loads(line)["messages"] for line in write_rows(passed.rows).lines)
    alone = [map_block([row], plan_mapping(mapping)) for row in source]
    assert [row for one in alone for row in one.rows.to_pylist()] == kept
    assert [row for one in alone for row in one.dropped.to_pylist()] == gone
