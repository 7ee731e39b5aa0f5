"""Domain rules: validation, accuracy loss, tolerances and evaluation.json."""

import math

import pytest
from modelmill_evaluation.parity.goldens import ParityError
from modelmill_optimizer_builder.domain.build_plan import SourceVersion, source_errors, spec_errors
from modelmill_optimizer_builder.domain.parity import (
    LogitDistance,
    check_export,
    check_quantised,
)
from modelmill_optimizer_builder.domain.quality import (
    QualityLossError,
    compare,
    evaluation_record,
    refuse_loss,
    speed_figures,
    tuned_answers,
)


def version(form: str = "adapter", job_id: str = "ftjob-1") -> SourceVersion:
    return SourceVersion("mv-1", form, job_id)


def test_a_build_counts_as_slower_only_if_it_was_slower_in_every_round() -> None:
    always = speed_figures([10.0] * 6, [9.0, 8.0, 9.9, 9.0, 9.0, 5.0])
    by_noise = speed_figures([10.0] * 6, [9.0, 8.0, 10.1, 9.0, 9.0, 5.0])

    assert always["speedup_high"] < 1 <= by_noise["speedup_high"]
    assert by_noise["speedup"] == 0.9
    assert by_noise["speedup_low"] == 0.5


def test_every_error_of_a_spec_is_listed() -> None:
    errors = spec_errors(source_version_id="", target_form="gguf", max_accuracy_loss=math.nan)

    assert [error.split()[0] for error in errors] == [
        "source_version_id",
        "target_form",
        "max_accuracy_loss",
    ]
    assert source_errors(version("openvino-int8"), "openvino-int8") != []
    assert source_errors(version("adapter"), "openvino-int8") == []


def test_a_loss_at_the_limit_passes_and_one_row_more_is_refused() -> None:
    before = [True] * 50
    at_limit = compare(before, [True] * 49 + [False])
    beyond = compare(before, [True] * 48 + [False] * 2)

    refuse_loss(at_limit, 0.02, "openvino-int8")
    with pytest.raises(QualityLossError, match=r"96\.0%.*100\.0%.*loss of 4\.0%"):
        refuse_loss(beyond, 0.02, "openvino-int8")


def test_with_limit_zero_a_better_build_passes_and_a_worse_one_is_refused() -> None:
    before = [False] + [True] * 9
    better, worse = compare(before, [True] * 10), compare(before, [False] * 2 + [True] * 8)

    refuse_loss(better, 0.0, "openvino-int8")
    with pytest.raises(QualityLossError, match="loss of 10"):
        refuse_loss(worse, 0.0, "openvino-int8")


def distance(largest: float, root_mean_square: float = 0.0) -> LogitDistance:
    return LogitDistance("decode", largest, root_mean_square, spread=3.0)


def test_an_export_differing_by_more_than_rounding_is_refused() -> None:
    check_export([distance(0.0001), distance(0.002)])
    with pytest.raises(ParityError, match="decode"):
        check_export([distance(0.0001), distance(0.1)])
    with pytest.raises(ParityError):
        check_export([distance(math.nan)])


def test_a_quantised_model_with_unrelated_logits_is_refused() -> None:
    check_quantised([distance(2.0, root_mean_square=0.5)])
    with pytest.raises(ParityError, match="quantised"):
        check_quantised([distance(9.0, root_mean_square=4.0)])


def test_the_trainers_results_are_used_only_for_the_same_choices_and_rows() -> None:
    record = {"choices": ["a", "b"], "tuned": {"correct": [True, False, True]}}

    assert tuned_answers(record, ["a", "b"], 2) == [True, False]
    assert tuned_answers(record, ["a", "c"], 2) is None
    assert tuned_answers(record, ["a", "b"], 4) is None
    assert tuned_answers(record, ["a", "b"], 0) is None
    assert tuned_answers(None, ["a", "b"], 2) is None


def test_the_evaluation_has_every_result_and_the_requested_differences() -> None:
    answers = {"bf16": [True, True], "int8": [True, False]}

    record = evaluation_record(["a", "b"], answers, [("int8", "bf16")])

    assert record["rows"] == 2
    assert record["int8"]["correct"] == [True, False]
    assert record["bf16"]["accuracy"]["mean"] == 1.0
    assert record["differences"]["int8-bf16"]["mean"] == -0.5
    assert evaluation_record((), {}, ()) == {"choices": [], "rows": 0, "differences": {}}
