"""The Pareto frontier."""

from modelmill_evaluation.pareto import on_frontier


def test_a_point_that_another_one_beats_is_not_on_the_frontier() -> None:
    points = [(100.0, 0.0), (50.0, 0.01), (60.0, 0.02), (30.0, 0.1), (30.0, 0.2)]

    assert on_frontier(points) == [True, True, False, True, False]


def test_equal_points_are_both_on_it() -> None:
    assert on_frontier([(1.0, 2.0), (1.0, 2.0), (1.0, 3.0)]) == [True, True, False]


def test_a_point_alone_is_on_it_and_none_are_none() -> None:
    assert on_frontier([(5.0, 5.0)]) == [True]
    assert on_frontier([]) == []
