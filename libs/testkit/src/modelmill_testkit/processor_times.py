"""A plugin of pytest: what each test file costs, `-p modelmill_testkit.processor_times`.

Two cores that are always busy are as fast as what runs on them is cheap. So it counts processor
seconds: of the process that runs the tests, and of all processes that are or were below it.
"""

import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

import psutil
import pytest

COLLECTING = "(imports and collecting)"


class Cost(NamedTuple):
    """What a file's tests took."""

    processor: float = 0.0
    wall: float = 0.0

    def __add__(self, other: "Cost") -> "Cost":  # type: ignore[override]
        return Cost(self.processor + other.processor, self.wall + other.wall)


class ProcessorTimes:
    """Costs by file: of this process, and of its workers once they are done."""

    def __init__(self) -> None:
        self.costs: defaultdict[str, Cost] = defaultdict(Cost)
        self._begun = Cost(0.0, psutil.Process().create_time())

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> Iterator[None]:
        """Look at the clocks where another file begins."""
        if not self.costs:
            self._count(COLLECTING)
        result = yield
        if nextitem is None or nextitem.path != item.path:
            self._count(item.nodeid.partition("::")[0])
        return result

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """A worker tells who shared tests out."""
        if (told := getattr(session.config, "workeroutput", None)) is not None:
            told["costs"] = {file: [*cost] for file, cost in self.costs.items()}

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Who shared tests out hears it; a worker that crashed told nothing."""
        for file, cost in getattr(node, "workeroutput", {}).get("costs", {}).items():
            self.costs[file] += Cost(*cost)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """A line for each file, the dearest first."""
        terminalreporter.section("processor and wall seconds")
        total = sum(self.costs.values(), Cost())
        for file, cost in [
            *sorted(self.costs.items(), key=lambda each: each[1], reverse=True),
            ("all", total),
        ]:
            terminalreporter.write_line(f"{cost.processor:8.1f} {cost.wall:8.1f}  {file}")

    def _count(self, file: str) -> None:
        now = Cost(_spent(), time.time())
        self.costs[file] += Cost(now.processor - self._begun.processor, now.wall - self._begun.wall)
        self._begun = now


def pytest_configure(config: pytest.Config) -> None:
    """Count in this run."""
    config.pluginmanager.register(ProcessorTimes(), "modelmill-processor-times")


def _spent() -> float:
    """Processor seconds of this process, and of those below it that live or were waited for."""
    myself = psutil.Process()
    spent = 0.0
    for process in [myself, *myself.children(recursive=True)]:
        try:
            spent += sum(process.cpu_times()[:4])
        except psutil.NoSuchProcess:
            continue  # Its parent has waited for it since, and is asked later or has been.
    return spent
