"""Rules of what a search for objectives sees of a table, and what measures its choice again."""

import random

from modelmill_optimizer_builder.domain.measurements import LoadRepeat
from modelmill_optimizer_builder.domain.objectives import Figure
from modelmill_optimizer_builder.search_forms import Built

from tests.bench.objectives_table import Row, halves

ROUNDS = 8


def _row(form: str) -> Row:
    repeats = tuple(LoadRepeat((), (), float(number)) for number in range(ROUNDS))
    built = Built(1, Figure.exact(0.0), agreement=1.0)
    return Row(form, built, 0.0, repeats, tuple(float(number) for number in range(ROUNDS)))


def test_each_round_is_in_one_half_and_the_halves_are_the_same_rounds_of_all_candidates() -> None:
    table = {form: _row(form) for form in ("source", "int8")}

    seen, unseen = halves(table, random.Random(1))

    for form, row in table.items():
        rounds = {*seen[form].repeat_seconds, *unseen[form].repeat_seconds}
        assert rounds == set(row.repeat_seconds)
        assert len(seen[form].repeats) == len(unseen[form].repeats) == ROUNDS // 2
        assert seen[form].repeat_seconds == seen["source"].repeat_seconds


def test_halves_are_drawn_anew() -> None:
    table, drawn = {"int8": _row("int8")}, random.Random(1)

    found = {tuple(sorted(halves(table, drawn)[0]["int8"].repeat_seconds)) for _ in range(20)}

    assert len(found) > 1
