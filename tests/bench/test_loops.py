"""The time of a part of `.ci/run` is read from what it prints."""

from tests.bench import loops

PRINTED = """
== documentation (after 40 s)
3 passed in 1 s

== tests (after 100 s)
1234 passed in 700 s

== journeys: recipes, commands (after 830 s)
53 passed in 300 s
"""


def test_the_part_of_the_tests_lasts_to_the_next_one_and_has_its_own_lines():
    seconds, printed = loops.tests_part(PRINTED)

    assert seconds == 730
    assert printed.strip() == "1234 passed in 700 s"
