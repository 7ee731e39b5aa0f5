"""Answers that may be misspelt are named, and answers that only look alike are not."""

from hypothesis import given
from hypothesis import strategies as st
from modelmill_data_prep.domain.doubtful_choices import doubtful_choices


def test_other_case_spaces_and_rare_misspellings_are_doubtful():
    rows = {"billing": 90, "shipping": 80, "Billing ": 1, "shiping": 1, "退货": 40, "退 货": 2}
    assert doubtful_choices(rows) == {
        "Billing ": "billing",
        "shiping": "shipping",
    }
    assert doubtful_choices({"returns": 9, "Returns": 9}) == {"returns": "Returns"}


def test_frequent_answers_numbers_and_short_ones_are_not():
    assert doubtful_choices({"shipping": 50, "shopping": 30}) == {}
    assert doubtful_choices({"grade 1": 500, "grade 12": 1, "grade 2": 1}) == {}
    assert doubtful_choices({"yes": 500, "yep": 1}) == {}


@given(st.dictionaries(st.text(max_size=8), st.integers(1, 100), max_size=8))
def test_nothing_is_meant_that_is_rarer_or_no_answer(rows: dict[str, int]):
    for answer, meant in doubtful_choices(rows).items():
        assert answer != meant
        assert rows[meant] >= rows[answer]
