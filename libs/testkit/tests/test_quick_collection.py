"""The garbage collector while tests run."""

import gc


def test_garbage_of_tests_is_found_and_what_was_imported_before_is_left_alone() -> None:
    assert gc.isenabled()
    assert gc.get_freeze_count() > 10_000
