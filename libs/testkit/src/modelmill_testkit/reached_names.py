"""Which names the code of a test reaches: its own and that of the helpers of tests it calls."""

import inspect
import re
import sys
from collections.abc import Collection, Iterable, Iterator, Set
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

OTHERS = re.compile(r"/src/|/site-packages/")
"""In paths below the root: of the product, and of an environment wherever it is."""


class Step(NamedTuple):
    """What one function or class names by itself."""

    names: frozenset[str]
    leads_to: frozenset[Any]


class ReachedNames:
    """Reads compiled code and runs nothing; follows neither product code nor packages.

    Args:
        root: what lies below it, and is no product code, is of tests.
        ends: names that are not followed.
    """

    def __init__(self, root: Path, ends: Collection[str]) -> None:
        self._root = root
        self._ends = frozenset(ends)
        self._known: dict[object, frozenset[str]] = {}
        self._steps: dict[object, Step] = {}

    def of(self, function: Any) -> frozenset[str]:
        """Names in the function and in all functions and classes of tests that it names."""
        if (known := self._known.get(function)) is not None:
            return known
        names: set[str] = set()
        seen = {inner := _inner(function)}
        left = [inner]
        while left:
            step = self._step(left.pop())
            names |= step.names
            new = step.leads_to - seen
            seen |= new
            left += new
        result = frozenset(names)
        self._known[function] = result
        return result

    def _step(self, found: Any) -> Step:
        """Helpers are reached from many tests, and read once."""
        if (known := self._steps.get(found)) is None:
            known = self._steps[found] = self._read(found)
        return known

    def _read(self, found: Any) -> Step:
        names: frozenset[str] = frozenset()
        named: Iterable[object] = ()
        if self._is_of_tests(found):
            if isinstance(found, type):
                named = (*vars(found).values(), *found.__bases__)
            elif isinstance(found, FunctionType):
                names = frozenset(_names(found.__code__))
                named = _named(found, names - self._ends)
        leads_to = {inner for each in named if (inner := _inner(each)) is not None}
        return Step(names, frozenset(leads_to))

    def _is_of_tests(self, found: object) -> bool:
        if isinstance(found, FunctionType):
            file = found.__code__.co_filename
        elif isinstance(found, type):
            file = getattr(sys.modules.get(found.__module__), "__file__", None) or ""
        else:
            return False
        if "modelmill_testkit" in file:
            return True
        return file.startswith(str(self._root)) and not OTHERS.search(file)


def _inner(found: Any) -> FunctionType | type | None:
    """The function or class itself, without what decorators have put around it."""
    # Asked of its type: a proxy, as `openai` has some, imports all that it stands for when asked.
    kind = type(found)
    if issubclass(kind, staticmethod | classmethod):
        found = found.__func__
    elif issubclass(kind, property):
        found = found.fget
    elif not callable(found):
        return None
    if not isinstance(found, type):
        found = inspect.unwrap(getattr(found, "__func__", found))
    given = getattr(found, "hypothesis", None)
    found = getattr(given, "inner_test", found)
    return found if isinstance(found, FunctionType | type) else None


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _named(function: FunctionType, names: Set[str]) -> Iterator[object]:
    """What the names stand for in the function's module, and its defaults and closure."""
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()
    yield from (cell.cell_contents for cell in function.__closure__ or () if _is_filled(cell))
    for name in names & function.__globals__.keys():
        found = function.__globals__[name]
        if isinstance(found, ModuleType):
            yield from (vars(found)[each] for each in names & vars(found).keys())
        else:
            yield found


def _is_filled(cell: Any) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True
