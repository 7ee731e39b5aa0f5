"""Ids carry a reader's place and tell nothing of what other tenants do."""

import pytest
from modelmill_gateway.ordering.watch_job import SealedEventIds
from modelmill_service_kit.errors import InvalidInputError

IDS = SealedEventIds("a-secret-of-the-tests")
LONGEST = "progress-" + "9" * 18 + "." + "9" * 18
COUNTED = ["state-1", "state-2", "progress-2", "state-123456.77", LONGEST]


@pytest.mark.parametrize("event_id", COUNTED)
def test_an_id_leads_back_to_its_place_by_any_gateway_with_the_secret(event_id: str):
    shown = IDS.seal("job-1", event_id)
    assert SealedEventIds("a-secret-of-the-tests").unseal("job-1", shown) == event_id
    assert IDS.seal("job-1", event_id) == shown


def test_ids_of_counts_are_alike_and_share_nothing():
    shown = [IDS.seal("job-1", event_id) for event_id in COUNTED]
    assert len({len(each) for each in shown}) == 1
    bodies = [each.removeprefix("event-") for each in shown]
    assert len({body[:8] for body in bodies}) == len({body[-8:] for body in bodies}) == len(COUNTED)


@pytest.mark.parametrize(
    "shown",
    [
        *COUNTED,
        IDS.seal("job-2", "state-1"),
        SealedEventIds("another").seal("job-1", "state-1"),
        "event-" + "A" * 86,
    ],
)
def test_what_was_not_given_out_for_the_job_is_refused(shown: str):
    with pytest.raises(InvalidInputError, match="no event"):
        IDS.unseal("job-1", shown)


def test_ids_that_count_nothing_of_others_stay_as_they_are():
    assert IDS.seal("job-1", "step-3") == IDS.unseal("job-1", "step-3") == "step-3"
