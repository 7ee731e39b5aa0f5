"""A key counts once, with what is said of it within its window."""

from modelmill_experiments.key_windows import MOST_ANSWERS, KeyWindows
from modelmill_experiments.sequential_test import Unit

ANNA, BEN = b"anna", b"ben"
FAST = {"total_seconds": 1.0}


def test_a_key_closes_when_its_window_has_passed_with_all_that_was_said() -> None:
    windows = KeyWindows(60.0, begin=0.0)
    windows.answer(1.0, ANNA, "base", "r1", FAST)
    windows.answer(30.0, ANNA, "base", "r2", {"total_seconds": 2.0})
    windows.feedback("r2", {"satisfaction": 1.0})
    assert not list(windows.closing(60.9))
    said = {"total_seconds": (1.0, 2.0), "satisfaction": (1.0,)}
    assert list(windows.closing(61.0)) == [(ANNA, Unit("base", said))]


def test_a_closed_key_never_counts_again() -> None:
    windows = KeyWindows(60.0, begin=0.0)
    windows.answer(1.0, ANNA, "base", "r1", FAST)
    assert len(list(windows.closing(100.0))) == 1
    windows.answer(200.0, ANNA, "new", "r2", FAST)
    assert not list(windows.closing(1000.0))
    assert not windows.open_keys


def test_a_key_that_another_closed_is_given_by_nobody() -> None:
    windows = KeyWindows(60.0, begin=0.0)
    windows.answer(1.0, ANNA, "base", "r1", FAST)
    windows.answer(2.0, BEN, "new", "r2", FAST)
    windows.close(ANNA)
    windows.feedback("r1", {"satisfaction": 1.0})
    assert [key for key, _ in windows.closing(100.0)] == [BEN]


def test_keys_close_in_the_order_of_their_windows() -> None:
    windows = KeyWindows(60.0, begin=0.0)
    windows.answer(2.0, BEN, "new", "r1", FAST)
    windows.answer(1.0, ANNA, "base", "r2", FAST)
    assert [key for key, _ in windows.closing(100.0)] == [ANNA, BEN]


def test_of_an_answer_the_first_word_counts() -> None:
    windows = KeyWindows(60.0, begin=0.0)
    windows.answer(1.0, ANNA, "base", "r1", {})
    for score in (0.0, 1.0, 1.0):
        windows.feedback("r1", {"satisfaction": score})
    [(_, unit)] = windows.closing(100.0)
    assert unit.values == {"satisfaction": (0.0,)}


def test_a_flood_of_answers_of_one_key_takes_no_room() -> None:
    windows = KeyWindows(60.0, begin=0.0)
    for number in range(10 * MOST_ANSWERS):
        windows.answer(1.0, ANNA, "base", f"r{number}", FAST)
    [(_, unit)] = windows.closing(100.0)
    assert len(unit.values["total_seconds"]) == MOST_ANSWERS


def test_what_came_before_the_experiment_does_not_count() -> None:
    windows = KeyWindows(60.0, begin=50.0)
    windows.answer(49.0, ANNA, "base", "r1", FAST)
    assert not windows.open_keys


def test_feedback_on_what_does_not_count_is_nothing() -> None:
    windows = KeyWindows(60.0, begin=0.0)
    windows.feedback("r1", {"satisfaction": 1.0})
    assert not list(windows.closing(100.0))
