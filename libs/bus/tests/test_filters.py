"""Several filters as one, where that lets through the same and nothing else."""

import pytest
from modelmill_bus.filters import one_filter


@pytest.mark.parametrize(
    ("filters", "one"),
    [
        (["job.state.*"], "job.state.*"),
        (["job.requested.train.>", "job.resumed.train.>"], "job.*.train.>"),
        (["dataset.ready", "dataset.retired"], "dataset.*"),
        (["model.ready", "model.retired", "model.serving"], "model.*"),
    ],
)
def test_filters_that_differ_in_one_place_are_one(filters, one):
    assert one_filter(filters) == one


@pytest.mark.parametrize(
    "filters",
    [
        ["model.ready", "model.retired"],
        ["job.requested.train.>", "job.state.*"],
        ["job.requested.train.>", "job.resumed.optimize.>"],
        ["alias.state.*.*", "policy.state.*"],
    ],
)
def test_no_filter_lets_through_more_than_was_asked_for(filters):
    assert one_filter(filters) is None
