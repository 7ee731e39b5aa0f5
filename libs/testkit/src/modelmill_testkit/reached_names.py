"""Which names the code of a test reaches: its own and that of the helpers of tests it calls."""

import inspect
import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any


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

    def of(self, function: Any) -> frozenset[str]:
        """Names in the function and in all functions and classes of tests that it names."""
        if (known := self._known.get(function)) is not None:
            return known
        names: set[str] = set()
        seen: set[object] = set()
        left = [function]
        while left:
            found = _inner(left.pop())
            if not self._is_of_tests(found) or found in seen:
                continue
            seen.add(found)
            if isinstance(found, type):
                left += [*vars(found).values(), *found.__bases__]
            elif isinstance(found, FunctionType):
                names |= (own := set(_names(found.__code__)))
                left += _named(found, own - self._ends)
        result = frozenset(names)
        self._known[function] = result
        return result

    def _is_of_tests(self, found: object) -> bool:
        if isinstance(found, FunctionType):
            file = found.__code__.co_filename
        elif isinstance(found, type):
            file = getattr(sys.modules.get(found.__module__), "__file__", None) or ""
        else:
            return False
        if "modelmill_testkit" in file:
            return True
        return file.startswith(str(self._root)) and "/src/" not in file and "/.venv/" not in file


def _inner(found: Any) -> Any:
    """The function itself, without what decorators have put around it."""
    if isinstance(found, staticmethod | classmethod):
        found = found.__func__
    if isinstance(found, property):
        found = found.fget
    found = getattr(found, "__func__", found)
    found = inspect.unwrap(found) if callable(found) and not isinstance(found, type) else found
    given = getattr(found, "hypothesis", None)
    return getattr(given, "inner_test", found)


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _named(function: FunctionType, names: set[str]) -> Iterator[object]:
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
