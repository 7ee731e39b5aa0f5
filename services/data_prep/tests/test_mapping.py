"""Specs are checked whole, and rows become conversations or say why not."""

import json
from typing import Any

import pytest
from modelmill_data_prep.domain.blocks import SourceRow
from modelmill_data_prep.domain.dataset_plan import SplitShares, check_columns, plan_dataset
from modelmill_data_prep.domain.mapping.map_block import map_block
from modelmill_service_kit.errors import InvalidInputError

WORDS = {"user_template": "{word}: {gloss}", "answer_template": "{label}"}
MESSAGES = {"messages_column": "messages"}


def errors_of(spec: dict[str, Any]) -> list[str]:
    with pytest.raises(InvalidInputError) as caught:
        plan_dataset(spec)
    return caught.value.errors


def test_everything_wrong_with_a_spec_is_said_at_once() -> None:
    errors = errors_of(
        {
            "name": "x" * 101,
            "mapping": {"user_template": "{word", "answer_template": "always"},
            "shares": {"train": 0.5, "valid": 1.5, "test": -1},
        }
    )

    assert [error.split()[0] for error in errors] == [
        "name",
        "mapping:",
        "mapping:",
        "shares:",
        "shares:",
    ]


@pytest.mark.parametrize(
    ("mapping", "complaint"),
    [
        ({}, "user_template is missing"),
        ({"user_template": "{a}"}, "answer_template is missing"),
        ({**WORDS, **MESSAGES}, "not both"),
        ({"system_template": "hi", **MESSAGES}, "not both"),
        ({"user_template": "{a}" * 7_000, "answer_template": "{b}"}, "longer than 20000"),
        ({"user_template": "{a}" * 9, "answer_template": "{a}" * 8}, "in 17 places"),
    ],
)
def test_a_mapping_is_a_messages_column_or_two_templates(
    mapping: dict[str, str], complaint: str
) -> None:
    assert any(complaint in error for error in errors_of({"mapping": mapping}))


@pytest.mark.parametrize(
    "shares",
    [
        {"train": 0.5, "valid": 0.1, "test": 0.1},
        {"valid": 0.5, "test": 0.5},
        {"train": float("nan"), "test": 1.0},
        {"train": 2.0, "valid": -0.5, "test": -0.5},
    ],
)
def test_shares_that_do_not_add_up_to_one_are_refused(shares: dict[str, float]) -> None:
    assert errors_of({"mapping": WORDS, "shares": shares})


def test_no_shares_mean_the_default_and_thirds_add_up() -> None:
    assert plan_dataset({"mapping": WORDS}).shares == SplitShares(0.8, 0.1, 0.1)
    thirds = {"train": 1 / 3, "valid": 1 / 3, "test": 1 / 3}
    assert plan_dataset({"mapping": WORDS, "shares": thirds}).shares.train == 1 / 3


def test_an_unknown_column_is_named_beside_those_that_the_file_has() -> None:
    mapping = plan_dataset({"mapping": WORDS}).mapping

    with pytest.raises(InvalidInputError) as caught:
        check_columns(mapping, ["word", "meaning"])

    assert caught.value.errors == [
        "unknown column 'gloss'. The file has 'word', 'meaning'",
        "unknown column 'label'. The file has 'word', 'meaning'",
    ]


def map_one(columns: dict[str, Any], mapping: dict[str, str]) -> list[tuple[str, str]] | str:
    """The turns that a row becomes, or the reason why it does not."""
    row = SourceRow(1, columns, json.dumps(columns).encode())
    passed = map_block([row], plan_dataset({"mapping": mapping}).mapping)
    if passed.dropped.num_rows:
        reason: str = passed.dropped.to_pylist()[0]["detail"]
        return reason
    (mapped,) = passed.rows.to_pylist()
    return list(zip(mapped["roles"], mapped["contents"], strict=True))


def test_a_row_becomes_the_turns_that_the_templates_say() -> None:
    mapping = {"system_template": "Choose.", **WORDS}

    turns = map_one({"word": " cafe\u0301 ", "gloss": 7, "label": "{place}"}, mapping)

    assert turns == [("system", "Choose."), ("user", " cafe\u0301 : 7"), ("assistant", "{place}")]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"word": None}, "column 'word' is neither text nor a number"),
        ({"word": True}, "column 'word' is neither text nor a number"),
        ({"word": ["a"]}, "column 'word' is neither text nor a number"),
        ({"word": float("inf")}, "column 'word' is not a finite number"),
        ({"label": " \u200b\u0000 "}, "column 'label' is empty"),
        ({"label": "\ud800"}, "column 'label' has half a surrogate pair"),
    ],
)
def test_a_row_with_a_bad_value_says_which_column(changes: dict[str, Any], reason: str) -> None:
    assert map_one({"word": "a", "gloss": "b", "label": "c", **changes}, WORDS) == reason


def test_a_row_without_a_column_says_which() -> None:
    assert map_one({"word": "a", "gloss": "b"}, WORDS) == "missing column 'label'"


def turn(role: str, content: object = "text") -> dict[str, object]:
    return {"role": role, "content": content}


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ("text", "messages: not JSON"),
        ({}, "messages: not a list"),
        ([], "messages: no turns"),
        (["hi"], "messages: a turn is not an object"),
        ([turn("narrator")], "messages: a turn's role is none of system, user, assistant, tool"),
        ([turn(["user"])], "messages: a turn's role is none of system, user, assistant, tool"),  # type: ignore[arg-type]
        ([turn("user", None)], "messages: a turn's content is not text"),
        ([turn("user", " \t"), turn("assistant")], "messages: a turn's content is empty"),
        ([turn("user")], "messages: the last turn is not the assistant's"),
        ([turn("assistant")], "messages: the assistant speaks before the user"),
        (
            [turn("user"), turn("system"), turn("assistant")],
            "messages: a system turn is not the first",
        ),
    ],
)
def test_malformed_messages_say_what_is_wrong_with_them(messages: object, reason: str) -> None:
    assert map_one({"messages": messages}, MESSAGES) == reason


def test_messages_pass_as_a_list_and_as_json_in_a_cell() -> None:
    messages = [turn("system"), turn("user", "hi  there"), turn("assistant", "yo")]
    expected = [("system", "text"), ("user", "hi  there"), ("assistant", "yo")]

    assert map_one({"messages": messages}, MESSAGES) == expected
    assert map_one({"messages": json.dumps(messages)}, MESSAGES) == expected
