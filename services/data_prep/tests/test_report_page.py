"""The page says what the report says, and no text of a row becomes a part of it."""

from html.parser import HTMLParser
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from modelmill_data_prep.domain.report import report_page
from modelmill_data_prep.domain.row_decisions import (
    CONTAMINATED,
    EXACT_DUPLICATE,
    TEST_LEAK,
    RowDecisions,
    leaked_set,
)

MARKUP = st.text(st.sampled_from("<>&\"'/=ab{}%# \n"), max_size=30)
HOSTILE = MARKUP | st.sampled_from(["<script>x</script>", "</div></details><b id=x>", "{{ 7*7 }}"])


class Page(HTMLParser):
    """The elements of a page, and what stands in cells and samples."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts = [""]
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.texts.append("")

    def handle_endtag(self, tag: str) -> None:
        self.texts.append("")

    def handle_data(self, data: str) -> None:
        self.texts[-1] += data


def details(verdict: int, *, line: int, file: int = 0) -> str:
    """What is said of a row with this verdict."""
    one = np.ones(1, np.int8)
    verdicts = RowDecisions(one * verdict, one * line, one.astype(np.int32) * file, -one)
    (detail,) = verdicts.details()
    assert detail is not None
    return detail


def report(text: str = "", contaminated: dict[str, int] | None = None, **changes: Any) -> Any:
    """A report of a dataset whose dropped rows say `text`."""
    samples = {
        "duplicates.exact": [sample(text, EXACT_DUPLICATE, 3)],
        "duplicates.evaluation": [
            sample(text, CONTAMINATED, 4, file=0),
            sample(text, CONTAMINATED, 5, file=10),
        ],
        "duplicates.test_split": [sample(text, TEST_LEAK, 6)],
    }
    counts = dict.fromkeys(("rows_in", "rows_kept", "rows_dropped", "rows_duplicate"), 9)
    return {
        "counts": {**counts, "rows_quarantined": 0, "train": 7, "valid": 1, "test": 1},
        "failure": None,
        "merkle_root": "00" * 32,
        "source": {"format": "csv", "encoding": "gb18030", "delimiter": "\t"},
        "stages": {},
        "rules": {"dropped": {"duplicates.exact": 1_234, "duplicates.near": 1}},
        "samples": samples,
        "entities": {},
        "languages": {text: 3},
        "characters": {"histogram": {}},
        "tokens": {"histogram": {}},
        "choices": {text: 2},
        "duplicates": [{"kept": 1, "dropped": [3], "dropped_count": 1_000}],
        "contaminated": contaminated or {},
        **changes,
    }


def sample(text: str, verdict: int, line: int, *, file: int = 0) -> dict[str, Any]:
    return {"line": line, "text": text, "detail": details(verdict, line=line * 10, file=file)}


@settings(max_examples=50)
@given(HOSTILE, HOSTILE)
def test_a_text_changes_what_is_read_and_no_element(text: str, name: str) -> None:
    given_away_rows = {"test split": 2, "evaluation file 1": 1, text or "x": 3}

    harmless = {"test split": 2, "evaluation file 1": 1, "x": 3}
    plain = Page(report_page(report("x", harmless), name="n"))
    page = Page(report_page(report(text, given_away_rows), name=name))

    assert page.tags == plain.tags
    shown = [one for one in page.texts if one == text]
    assert not text or len(shown) >= 4


def test_a_text_with_several_answers_is_told_where_rows_choose_among_few() -> None:
    told = {"texts": 1_234, "lines": [[3, 10]]}

    page = report_page(report("yes", several_answers=told), name="d").decode()
    assert "1,234 texts have rows with different answers" in page
    assert "<td>line 3, line 10</td>" in page

    chat = report_page(report(several_answers=told, choices=None), name="d").decode()
    assert "different answers" not in chat


def test_rows_that_give_something_away_are_told_beside_what_they_give_away() -> None:
    names = [leaked_set(0), leaked_set(10), leaked_set(None)]
    page = report_page(report("said", dict(zip(names, (11, 1_200, 13), strict=True))), name="d")

    chapter = page.decode().partition('<table id="contaminated">')[2].partition("</table>")[0]
    words = [text.strip() for text in Page(chapter.encode()).texts if text.strip()]
    assert words == [
        *("what they give away", "rows", "some of them"),
        *("evaluation file 1", "11", f"line 4: {details(CONTAMINATED, line=40)}", "said"),
        *("evaluation file 11", "1,200", f"line 5: {details(CONTAMINATED, line=50, file=10)}"),
        *("said", "test split", "13", f"line 6: {details(TEST_LEAK, line=60)}", "said"),
    ]


def test_a_report_without_such_rows_has_no_such_chapter() -> None:
    assert b"give something away" not in report_page(report(), name="d")


def test_groups_that_are_not_named_are_at_least_counted() -> None:
    def about(page: bytes) -> str:
        return page.decode().partition("say the same</h2>")[2].partition("</p>")[0]

    some = about(report_page(report(), name="d"))
    assert "1,235 rows" in some
    assert "the first 1 groups hold 1,000 of them" in " ".join(some.split())
    all_named = report(rules={"dropped": {"duplicates.exact": 1_000}})
    assert "of them" not in about(report_page(all_named, name="d"))


def test_personal_data_tells_what_was_searched_and_what_was_not() -> None:
    personal_data = {"actions": {"email": "mask", "phone": "drop"}, "not_searched": ["person"]}
    page = report_page(
        report(entities={"email mask": 1_234}, personal_data=personal_data), name="d"
    )

    table, _, rest = page.decode().partition('<table id="personal-data">')[2].partition("</table>")
    words = [text.strip() for text in Page(table.encode()).texts if text.strip()]
    assert words == [
        *("type", "action", "found"),
        *("email", "mask", "1,234"),
        *("phone", "drop", "0"),
    ]
    assert "<b>Not searched:</b> person." in rest


def test_rows_that_were_not_searched_at_all_are_said_to_be_so() -> None:
    page = report_page(
        report(personal_data={"actions": {}, "not_searched": ["email", "person"]}), name="d"
    )

    assert b'id="personal-data"' not in page
    assert b"<b>Not searched:</b> email, person." in page
