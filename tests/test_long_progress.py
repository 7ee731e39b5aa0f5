"""Progress of long runs where no terminal draws a bar."""

from io import StringIO

from rich.console import Console

from tests.long_progress import LongProgress


def test_without_a_terminal_each_part_is_a_line():
    said = StringIO()
    with LongProgress(Console(file=said)) as progress:
        task = progress.add_task("", total=10)
        for _ in range(2):
            progress.update(task, description="first part", completed=1)
        progress.update(task, description="second part", completed=5)

    lines = [line for line in said.getvalue().splitlines() if ": " in line]
    assert [line.rpartition(": ")[2] for line in lines] == ["first part", "second part"]
