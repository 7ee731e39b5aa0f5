"""The rule by which a generated answer stands on its passage."""

import pytest
from modelmill_cli.generating.grounding import MIN_GROUNDING, fault_of, grounding
from modelmill_cli.generating.prompts import pairs_in

PASSAGE = (
    "The boiler is inspected every 12 months by a certified engineer. The certificate is kept in"
    " the plant office for ten years, and a copy is sent to the insurer."
)
ZH = "锅炉每12个月由持证工程师检查一次。检查证书在工厂办公室保存十年，并将副本寄给保险公司。"


@pytest.mark.parametrize(
    ("passage", "question", "answer", "fault"),
    [
        (PASSAGE, "Who inspects the boiler?", "A certified engineer.", None),
        (PASSAGE, "How often is it inspected?", "Every 12 months, by an engineer", None),
        (PASSAGE, "Where are certificates kept?", "In the plant's office, for ten years.", None),
        (PASSAGE, "Who inspects the boiler?", "The fire brigade of the town.", "ungrounded"),
        (PASSAGE, "How often?", "It is inspected every 24 months.", "number"),
        (PASSAGE, "What does it say?", PASSAGE, "copy"),
        (PASSAGE, PASSAGE, "A certified engineer.", "copy"),
        (PASSAGE, "certified engineer", "Certified engineer", "copy"),
        (PASSAGE, "Who?", "It is they.", "empty"),
        (PASSAGE, "?", "A certified engineer.", "empty"),
        (ZH, "锅炉由谁检查？", "由持证工程师检查。", None),
        (ZH, "证书保存多久？", "在工厂办公室保存十年。", None),
        (ZH, "锅炉由谁检查？", "消防队负责检验设备。", "ungrounded"),
        (ZH, "多久检查一次？", "每24个月检查一次。", "number"),
        (ZH, "写了什么？", ZH, "copy"),
    ],
)
def test_a_pair_is_kept_where_its_answer_stands_on_the_passage_and_copies_nothing(
    passage: str, question: str, answer: str, fault: str | None
) -> None:
    assert fault_of(question, answer, passage, MIN_GROUNDING) == fault


def test_grounding_is_the_share_of_the_answers_content_that_the_passage_has() -> None:
    assert grounding("certified engineers of Mars", PASSAGE) == pytest.approx(2 / 3)
    assert grounding("持证工程师", ZH) == 1.0
    assert grounding("of the", PASSAGE) == 0.0


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ('{"pairs": [{"question": "q", "answer": "a"}]}', [("q", "a")]),
        ('Here:\n```json\n{"pairs": [{"question": " q ", "answer": "a"}]}\n```', [("q", "a")]),
        (
            '{"question": "q", "answer": "a"}\n{"question": "r", "answer": "b"}',
            [("q", "a"), ("r", "b")],
        ),
        ('{"pairs": [{"question": "q", "answer": "a"}, {"question": "r", "ans', [("q", "a")]),
        ('{"pairs": [{"question": 1, "answer": "a"}, "x", null]}', []),
        ("I cannot do that.", []),
        ("{" * 5000, []),
    ],
)
def test_pairs_are_read_from_whatever_stands_around_them(
    said: str, found: list[tuple[str, str]]
) -> None:
    assert pairs_in(said) == found
