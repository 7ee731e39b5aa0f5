"""What tells who somebody is, is found, and what only looks like it is not."""

import json
import re
import time
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modelmill_data_prep.domain.entities.entity_plan import (
    ACTIONS,
    MODEL_TYPES,
    TYPES,
    EntityPlan,
    Span,
    plan_entities,
    without_overlaps,
)
from modelmill_data_prep.domain.entities.pseudonyms import Pseudonymiser
from modelmill_data_prep.domain.entities.rule_finder import mask_entities
from modelmill_data_prep.domain.entities.stage import EntityStage
from modelmill_service_kit.errors import InvalidInputError

from .entity_stage import FIND, PSEUDONYMISE, rows_of, stage
from .entity_table import FOUND, NOT_FOUND

RULE_TYPES = [name for name in TYPES if name not in MODEL_TYPES]
mixed_text = st.lists(
    st.sampled_from([text for _, text, _ in FOUND] + list(NOT_FOUND) + [" ", "\n", "，", "1", "a"]),
    max_size=6,
).map("".join)


def found_in(text: str) -> list[tuple[str, str]]:
    return [(one.type, text[one.start : one.end]) for one in without_overlaps(FIND([text])[0])]


@pytest.mark.parametrize(("name", "text", "value"), FOUND)
def test_what_is_one_is_found_with_its_limits(name: str, text: str, value: str) -> None:
    assert found_in(text) == [(name, value)]


@pytest.mark.parametrize("text", NOT_FOUND)
def test_what_looks_like_one_is_not_found(text: str) -> None:
    assert found_in(text) == []


def test_the_table_has_every_type_that_rules_find() -> None:
    assert {name for name, _, _ in FOUND} == set(RULE_TYPES)


@given(st.lists(mixed_text | st.text(), max_size=5))
def test_a_text_has_the_same_entities_alone_as_in_a_batch(texts: list[str]) -> None:
    assert FIND(texts) == [FIND([text])[0] for text in texts]


@given(
    st.lists(
        st.builds(
            lambda name, start, length: Span(name, start, start + length),
            st.sampled_from(TYPES),
            st.integers(0, 30),
            st.integers(1, 10),
        )
    ),
    st.randoms(use_true_random=False),
)
def test_spans_never_overlap_and_the_longest_stays(spans: list[Span], random: Any) -> None:
    kept = without_overlaps(spans)
    shuffled = list(spans)
    random.shuffle(shuffled)

    assert all(one.end <= two.start for one, two in pairwise(kept))
    assert without_overlaps(shuffled) == kept
    if spans:
        assert max(one.end - one.start for one in spans) in [one.end - one.start for one in kept]


@pytest.mark.parametrize(("name", "text", "value"), FOUND)
def test_a_pseudonym_is_found_by_no_rule(name: str, text: str, value: str) -> None:
    for key in (b"one", b"two", b"three"):
        pseudonym = Pseudonymiser(key)(name, value)

        assert pseudonym != value
        assert found_in(text.replace(value, pseudonym)) == []


def test_equal_values_have_equal_pseudonyms_and_another_key_gives_others() -> None:
    assert (
        PSEUDONYMISE("phone", "+86 138-1234-5678")[-4:] == PSEUDONYMISE("phone", "13812345678")[-4:]
    )
    assert PSEUDONYMISE("phone", "１３８12345678") == PSEUDONYMISE("phone", "13812345678")
    assert PSEUDONYMISE("email", "A@b.cn") == PSEUDONYMISE("email", "a@b.cn")
    assert PSEUDONYMISE("email", "a@b.cn") != PSEUDONYMISE("email", "b@b.cn")
    assert PSEUDONYMISE("email", "a@b.cn") != Pseudonymiser(b"another")("email", "a@b.cn")


@pytest.mark.parametrize("action", ["mask", "pseudonymise"])
@settings(deadline=None)
@given(texts=st.lists(mixed_text, min_size=1, max_size=4))
def test_done_twice_changes_nothing(action: str, texts: list[str]) -> None:
    work = EntityStage(plan_entities({"actions": {"*": action}}), [FIND], PSEUDONYMISE)

    once = work(rows_of(texts)).rows

    assert work(once).rows == once


def test_a_mask_says_the_type_and_the_row_says_which_types_were_replaced() -> None:
    work = stage(email="mask", phone="keep", ip="report", card="pseudonymise")

    passed = work(
        rows_of(
            ["mail a@b.cn, call 13812345678", "c@d.cn from 93.184.4.4, 4111 1111 1111 1111"],
            ["mail a@b.cn, call 13812345678"],
            ["from 93.184.4.4"],
        )
    )

    assert passed.rows.column("contents").to_pylist()[1:] == [
        ["mail [EMAIL], call 13812345678"],
        ["from 93.184.4.4"],
    ]
    assert passed.rows.column("changes").to_pylist() == [
        ["entities.email@7", "entities.card@7"],
        ["entities.email@7"],
        [],
    ]
    assert passed.changed == 2


def test_a_person_whom_one_message_names_is_found_in_the_others() -> None:
    passed = stage(person="pseudonymise")(
        rows_of(
            ["我叫黄梓轩。", "黄梓轩您好！"],
            ["My name is Quxilla Bramm.", "Quxilla Bramm, Brammer and quxilla bramm"],
            ["Quxilla Bramm"],
        )
    )

    (first, second), (third, fourth), (fifth,) = passed.rows.column("contents").to_pylist()
    assert first == f"我叫{second.removesuffix('您好！')}。" != "我叫黄梓轩。"
    stand_in = third.removeprefix("My name is ").removesuffix(".")
    assert fourth == f"{stand_in}, Brammer and quxilla bramm"
    assert fifth == "Quxilla Bramm"


def test_names_of_files_and_sections_of_a_passage_are_rows_too() -> None:
    written = {"file": "a@b.cn 1.html", "page": 2, "section": "Call 13812345678", "offset": 7}
    plain = json.dumps({"file": "a.html", "page": None, "section": None, "offset": 0})
    documents = [json.dumps(written), plain, None]

    passed = stage(email="mask", phone="mask")(rows_of(["x"], ["y"], ["z"], document=documents))

    first, *others = passed.rows.column("document").to_pylist()
    masked = {"file": "[EMAIL] 1.html", "section": "Call [PHONE]"}
    assert json.loads(first) == written | masked
    assert others == [plain, None]
    changes = passed.rows.column("changes").to_pylist()
    assert changes == [["entities.email@7", "entities.phone@7"], [], []]


def test_a_row_is_dropped_by_type_and_shown_without_the_value() -> None:
    passed = stage(cn_id="drop")(rows_of(["我是11010519491231002X"], ["好"]))

    assert passed.rows.column("line").to_pylist() == [2]
    assert passed.dropped.column("rule").to_pylist() == ["entities.cn_id"]
    assert passed.dropped.column("sample").to_pylist() == ["我是[CN_ID]"]


def test_what_is_found_is_counted_by_type_and_action_once() -> None:
    passed = stage(**{"email": "report", "*": "mask"})(rows_of(["a@b.cn c@d.cn, 13812345678"]))

    assert passed.found == Counter({"email report": 2, "phone mask": 1})


def test_a_pair_whose_answers_differ_by_what_is_gone_alone_is_dropped() -> None:
    rows = rows_of(
        ["q", "mail a@b.cn"], ["q", "mail a@b.cn"], rejected=["mail c@d.cn", "mail nobody"]
    )

    for batch in (rows, rows.slice(0, 1)):
        passed = stage(email="mask")(batch)
        assert passed.dropped.column("rule").to_pylist() == ["entities.same_answers"]
        assert passed.rows.num_rows == batch.num_rows - 1


def test_what_is_acted_on_is_not_hidden_by_what_is_not() -> None:
    text = "postgres://bob:x@db.company.com/y"
    for actions, after in (
        ({"email": "mask"}, "postgres://bob:[EMAIL]/y"),
        ({"email": "mask", "url_credentials": "report"}, "postgres://bob:[EMAIL]/y"),
        ({"email": "mask", "url_credentials": "mask"}, "postgres://[URL_CREDENTIALS]/y"),
        ({"email": "report", "url_credentials": "mask"}, "postgres://[URL_CREDENTIALS]/y"),
    ):
        passed = stage(**actions)(rows_of([text]))
        assert passed.rows.column("contents").to_pylist() == [[after]]
        assert passed.found.total() == 1
    assert mask_entities([text], FIND, {"email"}) == ["postgres://bob:[EMAIL]/y"]


@pytest.mark.parametrize(
    "piece",
    [
        "a.",
        "a@",
        "1",
        "1-",
        "12 ",
        "1.",
        ":a",
        "1:",
        "+1 ",
        "A1",
        "路1",
        "路1号",
        "eyJa.",
        "sk-",
        "-",
        "1 Aa ",
        "://a:",
        "省市区",
        "京A",
        "-----BEGIN PRIVATE KEY-----",
        "GB82 ",
        "passport ",
        "(0",
        "A ",
        "Maria ",
        "Mr. ",
        "my name is ",
        "Dear Van der ",
        "Maria Lopez Maria ",
        "王",
        "王建国",
        "我叫王",
        "刘建国陈晓明杨",
    ],
)
def test_a_megabyte_of_almost_something_costs_less_than_two_seconds(piece: str) -> None:
    text = piece * (1_000_000 // len(piece))
    begin = time.process_time()

    FIND([text])

    assert time.process_time() - begin < 2


def test_a_spec_is_refused_with_all_that_is_wrong_and_what_there_is() -> None:
    with pytest.raises(InvalidInputError) as refusal:
        plan_entities(
            {
                "actions": {"mail": "mask", "phone": "hide", "organisation": "mask"},
                "spacy_models": {},
            }
        )

    errors = refusal.value.errors
    assert [re.split("[;.] ", error)[0] for error in errors] == [
        "entities: unknown type 'mail'",
        "entities: unknown action 'hide' for phone",
        "entities: organisation is found by spaCy pipelines alone",
    ]
    assert all(name in errors[0] for name in TYPES)
    assert all(name in errors[1] for name in ACTIONS)


def test_a_star_is_for_all_types_that_are_not_named() -> None:
    plan = plan_entities({"actions": {"*": "mask", "ip": "keep", "card": "drop"}})

    assert plan.actions["card"] == "drop"
    assert "ip" not in plan.actions
    assert set(plan.actions) == set(RULE_TYPES) - {"ip"}
    assert plan_entities({}) == EntityPlan()


def test_pseudonyms_without_a_key_are_refused() -> None:
    with pytest.raises(ValueError, match="no key"):
        EntityStage(plan_entities({"actions": {"ip": "pseudonymise"}}), [FIND])
