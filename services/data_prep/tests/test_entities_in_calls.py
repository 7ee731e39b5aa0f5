"""Entities in what tools are called with, which is JSON within JSON."""

import json

import pytest

from .entity_stage import rows_of, stage


def test_tool_calls_and_the_rejected_answer_are_looked_at_too() -> None:
    extras = (
        '{"tool_calls":[{"id":"call_13812345678","type":"function","function":{"name":"f",'
        '"arguments":"{\\"to\\":\\"a@b.cn\\",\\"phone\\":13812345678,\\"n\\":3}"}}]}'
    )
    rows = rows_of(["hi", "ok"], extras=[[None, extras]], rejected=["or c@d.cn"])

    after = stage(**{"*": "mask"})(rows).rows

    assert after.column("rejected").to_pylist() == ["or [EMAIL]"]
    assert after.column("extras").to_pylist()[0][1] == extras.replace("a@b.cn", "[EMAIL]").replace(
        ":13812345678", ':\\"[PHONE]\\"'
    )


def test_arguments_that_are_nested_deeply_or_have_large_numbers_are_no_error() -> None:
    def called_with(arguments: str) -> str:
        function = {"name": "f", "arguments": arguments}
        return json.dumps({"tool_calls": [{"id": "c", "type": "function", "function": function}]})

    deep = "[" * 900 + '"a@b.cn"' + "]" * 900
    large = '{"n":' + "9" * 40 + ',"to":"a@b.cn"}'
    rows = rows_of(["x", "y"], extras=[[called_with(deep), called_with(large)]])

    after = stage(email="mask")(rows).rows.column("extras").to_pylist()[0]

    assert after == [
        json.dumps(json.loads(called_with(deep)), separators=(",", ":")).replace(
            "a@b.cn", "[EMAIL]"
        ),
        json.dumps(json.loads(called_with(large)), separators=(",", ":")).replace(
            "a@b.cn", "[EMAIL]"
        ),
    ]


def test_extras_without_entities_keep_their_bytes() -> None:
    extras = '{"name": "x",  "tool_calls": []}'
    rows = rows_of(["a@b.cn"], extras=[[extras]])

    assert stage(email="mask")(rows).rows.column("extras").to_pylist() == [[extras]]


@pytest.mark.parametrize("action", ["mask", "pseudonymise"])
def test_who_speaks_is_a_person_and_a_tool_or_a_part_is_none(action: str) -> None:
    speakers = ["Okonkwo", "Customer", "a@b.cn"]
    extras: list[str | None] = [json.dumps({"name": name}) for name in speakers]
    extras.append(json.dumps({"name": "Lookup", "tool_call_id": "c"}))
    rows = rows_of(["Hi, Okonkwo", "b", "c", "d"], extras=[extras])
    work = stage(person=action, email=action)

    after = work(rows).rows

    names = [json.loads(each)["name"] for each in after.column("extras").to_pylist()[0]]
    contents = after.column("contents").to_pylist()[0]
    assert "Okonkwo" not in (names[0], contents[0])
    assert contents[0] == f"Hi, {names[0]}"
    assert names[1] == "Customer"
    assert "a@b.cn" != names[2] != names[0]
    assert names[3] == "Lookup"
    assert work(after).rows == after


def nested_arguments(depth: int, texts: int) -> str:
    """An address within so many lists, and these within the arguments of so many calls."""
    arguments = "[" * depth + '"a@b.cn"' + "]" * depth
    for _ in range(texts):
        arguments = json.dumps({"arguments": arguments})
        arguments = "[" * depth + arguments + "]" * depth
    return arguments


@pytest.mark.parametrize(
    ("depth", "texts"), [*((depth, 0) for depth in range(900, 1_000, 7)), (20_000, 0), (97, 9)]
)
def test_deeply_nested_arguments_cost_constant_time(depth: int, texts: int) -> None:
    extra = json.dumps(
        {"tool_calls": [{"function": {"arguments": nested_arguments(depth, texts)}}]}
    )
    rows = rows_of(["a", ""], extras=[[None, extra]])

    passed = stage(email="mask")(rows)

    (row,) = passed.rows.to_pylist()
    assert "a@b.cn" not in row["extras"][1]
    assert "[EMAIL]" in row["extras"][1]
    assert json.loads(row["extras"][1])["tool_calls"]
