"""A large import is not searched for garbage, neither while it goes on nor later."""

import gc

import pytest
from modelmill_service_kit.large_imports import uncollected


def test_nothing_is_searched_while_it_goes_on_and_what_it_made_is_left_alone_later() -> None:
    before = gc.get_freeze_count()

    with uncollected():
        assert not gc.isenabled()
        made = [[number] for number in range(1000)]

    assert gc.isenabled()
    assert gc.get_freeze_count() >= before + len(made)


def test_after_an_import_that_fails_garbage_is_found_as_ever() -> None:
    with pytest.raises(ImportError), uncollected():
        raise ImportError

    assert gc.isenabled()
