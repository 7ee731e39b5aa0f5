"""Agreement of a rater with reference labels, beyond chance, and how sure that is."""

import pytest
from modelmill_evaluation.agreement import agreement_of

LABELS = ("yes", "no")


def pairs(both_yes: int, yes_no: int, no_yes: int, both_no: int) -> list[tuple[str, str | None]]:
    counts = {("yes", "yes"): both_yes, ("yes", "no"): yes_no, ("no", "yes"): no_yes}
    counts["no", "no"] = both_no
    return [pair for pair, count in counts.items() for _ in range(count)]


def test_kappa_is_that_of_cohens_paper_for_a_table_of_two_labels() -> None:
    # (20 + 15) / 50 agree; 0.5 * 0.6 + 0.5 * 0.4 would by chance.
    found = agreement_of(pairs(20, 5, 10, 15), LABELS)

    assert found.agreement.value == pytest.approx(0.7)
    assert found.kappa.value == pytest.approx(0.4)
    assert found.kappa.low < 0.4 < found.kappa.high
    assert found.confusion == {"yes": {"yes": 20, "no": 5}, "no": {"yes": 10, "no": 15}}


def test_a_rater_that_always_says_the_same_agrees_by_chance_alone() -> None:
    found = agreement_of(pairs(18, 0, 2, 0), LABELS)

    assert found.agreement.value == pytest.approx(0.9)
    assert found.kappa.value == 0
    assert (found.kappa.low, found.kappa.high) == (0, 0)


def test_rows_without_a_label_are_rows_on_which_it_does_not_agree() -> None:
    whole = agreement_of(pairs(10, 0, 0, 10), LABELS)
    missing = agreement_of([*pairs(10, 0, 0, 5), *[("no", None)] * 5], LABELS)

    assert whole.kappa.value == 1
    assert missing.agreement.value == pytest.approx(0.75)
    assert missing.kappa.value < 0.7
    assert missing.confusion["no"] == {"no": 5, "": 5}


def test_more_rows_are_surer() -> None:
    few, many = agreement_of(pairs(4, 1, 2, 3), LABELS), agreement_of(pairs(40, 10, 20, 30), LABELS)

    assert few.kappa.value == pytest.approx(many.kappa.value)
    assert many.kappa.high - many.kappa.low < (few.kappa.high - few.kappa.low) / 2


def test_there_is_no_agreement_over_no_rows() -> None:
    with pytest.raises(ValueError, match="no rows"):
        agreement_of([], LABELS)
