"""The file of service times: read strictly, and straight lines between what was measured."""

import json
from pathlib import Path

import pytest
from capacity_support.textbook import engine_times
from modelmill_capacity.measurements import PACKAGED, BatchStep, Measurements
from modelmill_service_kit.errors import InvalidInputError, NotFoundError

STEPS = (
    BatchStep(batch=1, seconds=0.010),
    BatchStep(batch=5, seconds=0.018),
    BatchStep(batch=9, seconds=0.030),
)


@pytest.mark.parametrize(
    ("batch", "milliseconds"), [(0, 10), (1, 10), (3, 14), (5, 18), (7, 24), (9, 30), (11, 36)]
)
def test_a_step_lies_on_straight_lines_through_the_measured_ones(batch: int, milliseconds: int):
    times = engine_times(16).model_copy(update={"steps": STEPS})
    assert times.step_seconds(batch) == pytest.approx(milliseconds / 1e3)


def test_the_packaged_file_calls_measured_only_what_a_validation_run_wrote():
    known = Measurements.load()
    assert {"gateway", "moderation"} <= {service.name for service in known.services}

    for each in (*known.services, *known.engines):
        assert each.source
        written = each.source.startswith("python -m tests.bench.capacity of commit ")
        assert (each.origin == "measured") == written, each.source
    assert not any(engine.bands for engine in known.engines if engine.origin == "assumed")


def test_a_form_without_times_is_refused_with_those_that_there_are():
    with pytest.raises(NotFoundError, match=r"no service times of gguf-q8_0\. There are those of "):
        Measurements.load().engine("gguf-q8_0")


@pytest.mark.parametrize("text", ["", "{}", "[1]"])
def test_a_file_of_something_else_is_refused(tmp_path: Path, text: str):
    file = tmp_path / "times.json"
    file.write_text(text)
    with pytest.raises(InvalidInputError, match=r"times\.json holds no measurements: "):
        Measurements.load(file)


def test_a_misspelt_field_is_named(tmp_path: Path):
    document = json.loads(PACKAGED.read_bytes())
    document["engines"][0]["sequencs"] = 3
    file = tmp_path / "times.json"
    file.write_text(json.dumps(document))
    with pytest.raises(InvalidInputError, match=r"engines\.0\.sequencs"):
        Measurements.load(file)
