"""Rules of the tables of forms in the documentation."""

import pytest

from tests.bench.form_summary import PAGE, kept_entries_by_id, with_tables


def test_the_page_has_the_figures_that_are_kept() -> None:
    page = PAGE.read_text(encoding="utf-8")

    assert with_tables(page, kept_entries_by_id()) == page, "run python -m tests.bench.form_summary"


def test_a_page_without_a_place_for_a_table_is_an_error() -> None:
    with pytest.raises(ValueError, match="forms"):
        with_tables("# Forms\n", kept_entries_by_id())
