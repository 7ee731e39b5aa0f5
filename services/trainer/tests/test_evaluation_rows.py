"""Rows of a dataset as questions, what models said of them, and what is protected."""

import json
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
from modelmill.inference.v1.inference_service_pb2 import GenerateRequest, ScoreRequest
from modelmill_evaluation.scores import RowOutcome
from modelmill_trainer.domain.evaluation_plan import EvaluationPlan, Protected, Slice
from modelmill_trainer.evaluating.dataset_items import dataset_suite
from modelmill_trainer.evaluating.figures import MeasuredSuite
from modelmill_trainer.evaluating.items import Item, Prompt, Suite
from modelmill_trainer.evaluating.questions import Question, questions_of
from modelmill_trainer.evaluating.report_page import page_of
from modelmill_trainer.evaluating.run import check_protections, outcomes_of
from modelmill_trainer.evaluating.send_questions import AnswerStore

ASK = {"role": "user", "content": "What barks?"}
SAY = {"role": "assistant", "content": "animal"}


def plan(**changes: Any) -> EvaluationPlan:
    given: dict[str, Any] = {
        **{"split": "test", "measures": (), "slices": (), "protections": ()},
        **{"max_rows": 100, "max_new_tokens": 9, "seed": 1, "resamples": 20},
    }
    return EvaluationPlan(**given | changes)


def suite_of(folder: Path, *rows: dict[str, Any], choices: Any = (), **changes: Any) -> Suite:
    folder.mkdir(exist_ok=True)
    lines = [json.dumps({"row": n, **row}) + "\n" for n, row in enumerate(rows, 1)]
    (folder / "test.jsonl").write_text("".join(lines))
    return dataset_suite(folder, choices, plan(**changes))


def test_all_labels_are_scored_if_there_are_few_else_only_the_reference(tmp_path: Path) -> None:
    row = {"messages": [ASK, SAY]}
    (few,) = suite_of(tmp_path, row, choices=["animal", "plant"]).items
    (free,) = suite_of(tmp_path, row).items
    (one,) = suite_of(tmp_path, row, choices=["animal", "plant"], measures=("bleu",)).items

    assert (few.continuations, few.right) == (("animal", "plant"), 0)
    assert (free.continuations, free.right) == (("animal",), None)
    assert one.choices == ()
    assert "accuracy" not in suite_of(tmp_path, row).measures


def test_a_document_is_scored_after_its_head_without_generation(
    tmp_path: Path,
) -> None:
    suite = suite_of(tmp_path, {"messages": [{"role": "assistant", "content": "abcdefgh"}]})
    (item,) = suite.items

    assert (item.prompt.text, item.continuations) == ("ab", ("cdefgh",))
    assert [question.asks for question in questions_of([suite], 1)] == ["score"]


def test_rows_without_an_answer_are_skipped_and_keys_are_unique(
    tmp_path: Path,
) -> None:
    call = {"role": "assistant", "content": "", "tool_calls": []}
    suite = suite_of(
        tmp_path,
        {"messages": [ASK, SAY], "row": 7},
        {"messages": [ASK, SAY], "row": 7, "made_by": "synonyms@1"},
        {"messages": [ASK, call]},
        {"messages": [SAY, ASK]},
        {"messages": []},
    )

    assert [item.key for item in suite.items] == ["7", "7.2"]
    assert suite.items[1].columns["made_by"] == "synonyms@1"
    assert (suite.skipped, suite.rows) == (3, 5)


def test_tools_and_calls_reach_the_model_as_they_are(tmp_path: Path) -> None:
    function = {"name": "look", "arguments": '{"at": "sky"}'}
    turns = [
        ASK,
        {"role": "assistant", "tool_calls": [{"id": "c1", "function": function}]},
        {"role": "tool", "tool_call_id": "c1", "content": "blue"},
        {"role": "assistant", "content": "It is blue."},
    ]
    tool = {"function": {"name": "look", "description": "d", "parameters": {"type": "object"}}}
    suite = suite_of(tmp_path, {"messages": turns, "tools": [tool]})
    score, write = questions_of([suite], 1)

    scored = ScoreRequest.FromString(_raw(score))
    written = GenerateRequest.FromString(_raw(write))
    assert scored.conversation == written.conversation
    _, calling, answering = scored.conversation.messages
    (called,) = calling.tool_calls
    assert (called.id, called.name, called.arguments) == ("c1", "look", '{"at": "sky"}')
    assert (answering.tool_call_id, answering.content) == ("c1", "blue")
    assert json.loads(scored.conversation.tools[0].parameters_schema) == {"type": "object"}
    assert (written.options.max_new_tokens, written.options.temperature) == (9, 0)
    # Whose they are and which model is asked is for the parent to say.
    assert (scored.tenant, scored.model) == ("", "")


def _raw(question: Question) -> bytes:
    return b64decode(question.as_json()["request"])


def item(key: str, reference: str = "a", **fields: Any) -> Item:
    return Item(
        key=key,
        prompt=Prompt(text=f"prompt {key}"),
        reference=reference,
        continuations=(reference,),
        **fields,
    )


def suite(*items: Item, measures: tuple[str, ...] = ("perplexity", "exact_match")) -> Suite:
    return Suite(
        name="mine", items=items, measures=measures, max_new_tokens=9, rows=len(items), skipped=0
    )


def score(value: float) -> dict[str, Any]:
    return {"value": [{"log_likelihood": value, "tokens": 1, "is_greedy": False}], "refusal": ""}


def test_stored_answers_are_resumed_and_only_new_ones_are_written(tmp_path: Path) -> None:
    book = AnswerStore(tmp_path / "first", None)
    book.add(("s", "1", 0, "score"), score(-1.0))
    book.save()
    book.add(("s", "2", 0, "write"), {"value": {"text": "行\u2028", "finish_reason": "stop"}})
    assert book.has_unsaved
    kept = book.save()
    again = AnswerStore(tmp_path / "second", kept)
    again.add(("s", "3", 1, "score"), score(-2.0))

    names = [part.name for part in sorted(again.save().iterdir())]
    assert names == [f"answers-0000{n}.jsonl" for n in (1, 2, 3)]
    assert len(again) == 3
    assert again.get(("s", "2", 0, "write")) == book.get(("s", "2", 0, "write"))
    for name in names[:2]:
        assert (tmp_path / "second" / name).read_bytes() == (kept / name).read_bytes()


def test_refused_requests_are_counted_with_the_reason(tmp_path: Path) -> None:
    book = AnswerStore(tmp_path / "book", None)
    asked = suite(item("1"), item("2"), item("3"))
    book.add(("mine", "1", 0, "score"), score(-1.0))
    book.add(("mine", "2", 0, "score"), {"value": None, "refusal": "too long"})
    book.add(("mine", "3", 0, "score"), score(float("-inf")))
    book.add(("mine", "1", 0, "write"), {"value": {"text": "a b", "finish_reason": "length"}})

    rows, unanswered = outcomes_of(asked, 0, book)

    assert [row.log_likelihood for row in rows] == [-1.0, None, None]
    assert [row.answer for row in rows] == ["a b", None, None]
    assert unanswered.as_json() == {"score": 2, "first_reason": "too long"}
    assert unanswered.cut == 1


def measured(*losses: tuple[float, ...]) -> list[dict[str, Any]]:
    """Figures of rows with these losses, of one model or two."""
    topics = ["law" if n % 2 else "art" for n in range(len(losses[0]))]
    items = [item(str(n), columns={"topic": topic}) for n, topic in enumerate(topics)]
    outcomes = [
        [RowOutcome("a", log_likelihood=-loss, tokens=1) for loss in side] for side in losses
    ]
    one = MeasuredSuite.of(suite(*items, measures=("perplexity",)), outcomes)
    return [one.figures(plan(slices=(Slice("topic"),)))]


def protected(**fields: Any) -> Protected:
    given = {"slice_by": "", "slice_value": "", "worst": None, "largest_loss": None, "suite": ""}
    return Protected(**{"measure": "perplexity", **given, **fields})


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ({"worst": 2.72}, ""),
        ({"worst": 2.71}, "2.71828 is worse than 2.71"),
        ({"largest_loss": 1.72}, ""),
        ({"largest_loss": 1.71}, "1.71828 worse than compare_to, which is more than 1.71"),
        ({"slice_by": "topic", "slice_value": "law", "worst": 2.72}, ""),
        ({"slice_by": "topic", "slice_value": "sport", "worst": 9}, "no row of it was measured"),
        ({"measure": "bleu", "worst": 0}, "no row of it was measured"),
    ],
)
def test_a_protection_reports_whether_it_passed_and_why_not(
    wanted: dict[str, Any], why: str
) -> None:
    (verdict,) = check_protections([protected(**wanted)], measured((1.0, 1.0), (0.0, 0.0)))

    assert (verdict["passed"], verdict["why"]) == (not why, why)


def test_a_protection_fails_if_the_compared_model_has_no_answer() -> None:
    (verdict,) = check_protections([protected(largest_loss=5.0)], measured((1.0, 1.0)))

    assert verdict["why"] == "no row of it was measured for both models"


def test_the_page_escapes_what_a_tenant_wrote_and_loads_nothing() -> None:
    figures = measured((1.0, 2.0), (2.0, 2.0))
    figures[0] |= {
        "name": "<script>alert(1)</script>",
        "first_skipped": "<img src=x>",
        "skipped": 1,
        "unanswered": {"model": {"score": 1, "first_reason": "<b>no</b>"}},
    }
    results = {
        "models": {
            "model": {"asked": "<i>m</i>", "version_id": "mv-1"},
            "compare_to": {"asked": "base", "version_id": "mv-2"},
        },
        "plan": {"resamples": 20, "seed": 1},
        "suites": figures,
        "protections": check_protections([protected(worst=1.0)], figures),
        "passed": False,
    }
    page = page_of(results)

    for written in ("<script>", "<img", "<b>no", "<i>"):
        assert written not in page
    assert "topic: law (1)" in page
    assert "4.482" in page  # e to 1.5
    assert "http" not in page.replace("http-equiv", "")
    assert page_of(results) == page
