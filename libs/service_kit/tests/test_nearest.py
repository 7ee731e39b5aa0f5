"""What is said of a name that there is not."""

import time
import uuid
from pathlib import Path

import pytest
from modelmill_service_kit.nearest import did_you_mean, did_you_mean_file, no_such

IDS = [f"ds-{uuid.uuid5(uuid.NAMESPACE_DNS, str(number)).hex}" for number in range(400)]


@pytest.mark.parametrize(
    "slip",
    [
        lambda name: name[:-1],
        lambda name: name[:12],
        lambda name: f"{name[:10]}x{name[11:]}",
        lambda name: f"{name[:-4]}xx{name[-2:]}",
        lambda name: name + "0",
    ],
)
def test_an_id_with_one_slip_is_found_among_many(slip):
    assert did_you_mean(slip(IDS[7]), IDS) == f" Did you mean {IDS[7]!r}?"


def test_an_id_that_only_shares_its_letters_with_others_is_near_none():
    assert did_you_mean(f"ds-{uuid.uuid5(uuid.NAMESPACE_DNS, 'another').hex}", IDS) == ""


@pytest.mark.parametrize(("slip", "meant"), [("ulr", "url"), ("knids", "kinds"), ("x", "url")])
def test_a_short_name_with_two_letters_in_the_wrong_order_is_found(slip, meant):
    found = did_you_mean(slip, ["events", "kinds", "url"])

    assert found == ("" if slip == "x" else f" Did you mean {meant!r}?")


def test_a_refusal_has_the_cause_and_where_to_look():
    said = no_such("dataset", "ds-kinds", "/v1/datasets", ["ds-kind", "other"]).message

    assert said == (
        "no dataset 'ds-kinds'. Did you mean 'ds-kind'? GET /v1/datasets lists what there is"
    )
    assert len(no_such("dataset", "x" * 10_000, "/v1/datasets").message) < 200


def test_a_file_is_taken_for_its_neighbour_and_a_folder_that_is_none_has_no_neighbours(
    tmp_path: Path,
) -> None:
    (tmp_path / "tickets.csv").touch()
    assert did_you_mean_file(tmp_path / "tickts.csv") == " Did you mean 'tickets.csv'?"
    assert did_you_mean_file(tmp_path / "rows.parquet") == ""
    assert did_you_mean_file(tmp_path / "none" / "tickets.csv") == ""


def test_names_of_one_letter_are_compared_in_no_time() -> None:
    names = [f"{'a' * 57}{number:06x}" for number in range(500)]
    began = time.process_time()
    did_you_mean("a" * 63, names)
    assert time.process_time() - began < 0.08
