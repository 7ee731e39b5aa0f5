"""Known shapes of rows: what each becomes, and what each refuses."""

import json
from typing import Any

import pytest
from modelmill_data_prep.domain.blocks import SourceRow
from modelmill_data_prep.domain.mapping.map_block import map_block
from modelmill_data_prep.domain.mapping.row_mapping import plan_mapping
from modelmill_data_prep.domain.stages import StageResult
from modelmill_data_prep.domain.written_rows import write_rows
from modelmill_service_kit.errors import InvalidInputError

CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {}}}


def mapped(rows: list[dict[str, Any]], mapping: dict[str, str]) -> StageResult:
    source = [
        SourceRow(place, row, json.dumps(row).encode()) for place, row in enumerate(rows, start=1)
    ]
    return map_block(source, plan_mapping(mapping))


def written(row: dict[str, Any], layout: str = "openai_chat", **more: str) -> dict[str, Any]:
    """The row as it would be written, without where it comes from."""
    passed = mapped([row], {"layout": layout, **more})
    assert passed.dropped.to_pylist() == []
    whole: dict[str, Any] = json.loads(write_rows(passed.rows).lines[0])
    assert (whole.pop("row"), len(whole.pop("source")), whole.pop("changes")) == (1, 64, [])
    return whole


def rule(row: dict[str, Any], layout: str = "openai_chat", **more: str) -> str:
    """Why the row is refused."""
    (dropped,) = mapped([row], {"layout": layout, **more} if layout else more).dropped.to_pylist()
    assert dropped["outcome"] == "quarantined"
    return str(dropped["rule"])


def turn(role: str, content: object = "text", **more: object) -> dict[str, object]:
    return {"role": role, "content": content, **more}


def test_a_conversation_with_tools_stays_as_openai_writes_it() -> None:
    row = {
        "messages": [
            turn("system"),
            turn("user", "What is it like?", name="ada"),
            turn("assistant", "", tool_calls=[CALL, {**CALL, "id": "c2"}]),
            turn("tool", "rain", tool_call_id="c2"),
            turn("tool", "sun", tool_call_id="c1"),
            turn("assistant", "Both."),
        ],
        "tools": [TOOL],
    }

    assert written(row) == row


def test_null_content_and_parts_of_text_become_text() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    row = {"messages": [turn("user", parts), turn("assistant", None, tool_calls=[CALL])]}

    contents = [message["content"] for message in written(row)["messages"]]

    assert contents == ["ab", ""]


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([turn("user"), turn("assistant", None)], "map.not_text"),
        ([turn("user", [{"type": "image_url"}]), turn("assistant")], "map.part_not_text"),
        ([turn("user", tool_calls=[CALL]), turn("assistant")], "map.foreign_call"),
        ([turn("user"), turn("assistant", tool_calls="c1")], "map.calls_not_a_list"),
        ([turn("user"), turn("assistant", tool_calls=[{"id": "c1"}])], "map.malformed_call"),
        ([turn("user"), turn("tool"), turn("assistant")], "map.tool_without_id"),
        (
            [turn("user"), turn("tool", tool_call_id="c1"), turn("assistant")],
            "map.tool_not_called",
        ),
        (
            [turn("user"), turn("assistant", tool_calls=[CALL]), turn("user"), turn("assistant")],
            "map.call_not_answered",
        ),
        ([turn("user", name=7), turn("assistant")], "map.name_not_text"),
        ([turn("user", "\ud800"), turn("assistant")], "map.half_surrogate"),
        ([turn("user", "\u200b \u00ad"), turn("assistant")], "map.empty"),
    ],
)
def test_messages_that_make_no_sense_are_quarantined(
    messages: list[dict[str, object]], expected: str
) -> None:
    assert rule({"messages": messages}) == expected


def test_tools_must_be_functions_with_names() -> None:
    messages = [turn("user"), turn("assistant")]
    assert "tools" not in written({"messages": messages, "tools": []})
    assert rule({"messages": messages, "tools": {}}) == "map.tools_not_a_list"
    assert rule({"messages": messages, "tools": [{"name": "x"}]}) == "map.tool_without_name"
    cell = {"m": json.dumps(messages), "t": json.dumps([TOOL])}
    passed = mapped([cell], {"messages_column": "m", "tools_column": "t"})
    assert json.loads(passed.rows.column("tools")[0].as_py()) == [TOOL]
    assert rule({"m": messages}, "", messages_column="m", tools_column="t") == "map.missing_column"


def test_sharegpt_names_its_speakers_otherwise() -> None:
    row = {
        "system": "Be kind.",
        "conversations": [
            {"from": "human", "value": "Weather?"},
            {"from": "function_call", "value": '{"name": "weather", "arguments": {"in": "X"}}'},
            {"from": "observation", "value": "rain"},
            {"from": "gpt", "value": "Rain."},
        ],
        "tools": json.dumps([TOOL]),
    }

    whole = written(row, "sharegpt")

    roles = [message["role"] for message in whole["messages"]]
    assert roles == ["system", "user", "assistant", "tool", "assistant"]
    call = whole["messages"][2]["tool_calls"][0]
    assert call["function"] == {"name": "weather", "arguments": '{"in":"X"}'}
    assert whole["messages"][3]["tool_call_id"] == call["id"]
    assert whole["tools"] == [TOOL]


@pytest.mark.parametrize(
    ("conversations", "expected"),
    [
        ("text", "map.cell_not_json"),
        ({}, "map.conversations_not_a_list"),
        ([{"from": "robot", "value": "x"}], "map.unknown_role"),
        ([{"from": ["gpt"], "value": "x"}], "map.unknown_role"),
        ([{"from": "human", "value": 7}], "map.not_text"),
        ([{"from": "gpt", "value": "x"}], "map.assistant_before_user"),
        ([{"from": "human", "value": "x"}], "map.last_not_assistant"),
        ([{"from": "human", "value": "x"}, {"from": "observation", "value": "y"}],
         "map.tool_not_called"),
        ([{"from": "human", "value": "x"}, {"from": "function_call", "value": "y"}],
         "map.cell_not_json"),
        ([{"from": "human", "value": "x"}, {"from": "function_call", "value": "{}"}],
         "map.malformed_call"),
        ([{"from": "human", "value": "x"}, {"from": "function_call", "value": []}],
         "map.malformed_call"),
    ],
)  # fmt: skip
def test_malformed_sharegpt_rows_are_quarantined(conversations: object, expected: str) -> None:
    assert rule({"conversations": conversations}, "sharegpt") == expected


def test_alpaca_rows_may_have_an_input_a_system_and_a_history() -> None:
    row = {"instruction": "Add", "input": "1 2", "output": "3", "system": "Be exact."}
    row |= {"history": [["Hi", "Hello"]]}  # type: ignore[dict-item]

    contents = [message["content"] for message in written(row, "alpaca")["messages"]]

    assert contents == ["Be exact.", "Hi", "Hello", "Add\n1 2", "3"]
    short = {"instruction": "Add", "input": "", "output": "3"}
    assert [m["content"] for m in written(short, "alpaca")["messages"]] == ["Add", "3"]
    assert rule({"instruction": "Add"}, "alpaca") == "map.missing_column"
    assert rule({**short, "history": [["a"]]}, "alpaca") == "map.history_not_pairs"
    assert rule({**short, "output": 3}, "alpaca") == "map.not_text"


def test_a_text_is_one_turn_of_the_assistants() -> None:
    assert written({"text": " a\tb "}, "text") == {
        "messages": [{"role": "assistant", "content": " a\tb "}]
    }


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Q", "chosen": "good", "rejected": "bad"},
        {"prompt": [turn("user", "Q")], "chosen": "good", "rejected": "bad"},
        {"messages": [turn("user", "Q")], "chosen": "good", "rejected": "bad"},
        {
            "prompt": "Q",
            "chosen": [turn("assistant", "good")],
            "rejected": [turn("assistant", "bad")],
        },
        {
            "prompt": "Q",
            "chosen": [turn("user", "Q"), turn("assistant", "good")],
            "rejected": [turn("user", "Q"), turn("assistant", "bad")],
        },
        {
            "chosen": [turn("user", "Q"), turn("assistant", "good")],
            "rejected": [turn("user", "Q"), turn("assistant", "bad")],
        },
    ],
)
def test_preference_pairs_come_in_many_forms_and_are_one(row: dict[str, Any]) -> None:
    assert written(row, "preference") == {
        "messages": [turn("user", "Q"), turn("assistant", "good")],
        "rejected": "bad",
    }


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"chosen": "a", "rejected": "b"}, "map.missing_column"),
        ({"prompt": "Q", "chosen": "a"}, "map.missing_column"),
        ({"prompt": "Q", "chosen": "a", "rejected": "a"}, "map.same_answers"),
        ({"prompt": "Q", "messages": [turn("user")], "chosen": "a", "rejected": "b"},
         "map.two_prompts"),
        ({"prompt": [turn("user"), turn("assistant")], "chosen": "a", "rejected": "b"},
         "map.last_not_user"),
        ({"chosen": [turn("user", "Q"), turn("assistant", "a")],
          "rejected": [turn("user", "R"), turn("assistant", "b")]}, "map.contexts_differ"),
        ({"prompt": "R", "chosen": [turn("user", "Q"), turn("assistant", "a")],
          "rejected": [turn("user", "Q"), turn("assistant", "b")]}, "map.contexts_differ"),
        ({"prompt": "Q", "chosen": "a", "rejected": [turn("assistant", "", tool_calls=[CALL])]},
         "map.rejected_not_text"),
        ({"prompt": "Q", "chosen": "a", "rejected": 7}, "map.messages_not_a_list"),
    ],
)  # fmt: skip
def test_malformed_preference_pairs_are_quarantined(row: dict[str, Any], expected: str) -> None:
    assert rule(row, "preference") == expected


def test_a_template_of_the_worse_answer_makes_pairs() -> None:
    mapping = {"user_template": "{q}", "answer_template": "{a}!", "rejected_template": "{b}!"}
    rows = [{"q": "1", "a": "2", "b": 3}, {"q": "1", "a": "2", "b": "2"}, {"q": "1", "a": "2"}]

    passed = mapped(rows, mapping)

    assert passed.rows.column("rejected").to_pylist() == ["3!"]
    assert [(row["line"], row["rule"]) for row in passed.dropped.to_pylist()] == [
        (2, "map.same_answers"),
        (3, "map.missing_column"),
    ]


@pytest.mark.parametrize(
    ("mapping", "complaint"),
    [
        ({"layout": "songs"}, "unknown layout 'songs'"),
        ({"layout": "text", "messages_column": "m"}, "not both"),
        ({"layout": "text", "user_template": "{a}"}, "not both"),
        ({"layout": "text", "tools_column": "t"}, "calls no tools"),
        ({"messages_column": "m", "rejected_template": "{a}"}, "not both"),
        ({"user_template": "{a}", "answer_template": "{b}", "rejected_template": "x"},
         "every row would be the same"),
    ],
)  # fmt: skip
def test_a_mapping_is_one_of_three(mapping: dict[str, str], complaint: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        plan_mapping(mapping)
    assert any(complaint in error for error in caught.value.errors)
