"""Requests of a batch file: a line each, all of them checked before the first is answered."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

MAX_LINES = 50_000
MAX_ERRORS = 100
"""Wrong lines that are told; the others are counted."""
MAX_ID_CHARS = 512


@dataclass(frozen=True)
class LineError:
    """What is wrong with a line, in the words of OpenAI's batches."""

    code: str
    message: str
    line: int | None = None
    """From 1; None when it is the file as a whole, or every line of it."""
    param: str | None = None

    @property
    def what(self) -> "LineError":
        """The same of no line."""
        return replace(self, line=None)


@dataclass(frozen=True)
class BatchLine:
    """Position of one request in the file."""

    number: int
    custom_id: str
    start: int
    length: int


@dataclass
class ReadLines:
    """Result of checking a whole file."""

    lines: list[BatchLine] = field(default_factory=list)
    errors: list[LineError] = field(default_factory=list)
    wrong: int = 0
    """Errors, those included that are not told."""
    read: int = 0
    """Lines that are not empty."""
    common: dict[LineError, list[LineError]] = field(default_factory=dict)
    """What is wrong with every line so far, and the first lines of each."""

    def refuse(self, *errors: LineError) -> None:
        """Take what is wrong with the file."""
        self.wrong += len(errors)
        self.errors = sorted([*self.errors, *errors], key=_line)[:MAX_ERRORS]

    def add(self, line: BatchLine | None, errors: Sequence[LineError]) -> None:
        """Take a line, and what is wrong with it."""
        self.read += 1
        if line is not None:
            self.lines.append(line)
        found = {error.what: error for error in errors}
        if self.read == 1:
            self.common = {what: [] for what in found}
        for what in [each for each in self.common if each not in found]:
            # Of earlier lines only: it is told with each of them after all.
            self.refuse(*self.common.pop(what))
        for what, error in found.items():
            if what in self.common:
                self.common[what].append(error)
            else:
                self.refuse(error)

    def end(self) -> None:
        """Tell once what is wrong with every line."""
        for what, errors in self.common.items():
            message = f"{what.message} (every line of {self.read})"
            self.refuse(*([replace(what, message=message)] if self.read > 1 else errors))
        self.common = {}


def _line(error: LineError) -> int:
    return error.line or 0


def read_lines(rows: Iterable[bytes], endpoint: str, max_bytes: int) -> ReadLines:
    """Every line of a file; nothing of it is kept but its place.

    Args:
        rows: lines with their ends, as a file gives them.
        max_bytes: that a request may have, as over HTTP.
    """
    found, seen = ReadLines(), set[str]()
    start = 0
    for number, row in enumerate(rows, 1):
        if row.strip():
            _read_line(found, seen, row, (number, start), endpoint, max_bytes)
        start += len(row)
        if len(found.lines) > MAX_LINES:
            message = f"a batch has at most {MAX_LINES} requests"
            found.refuse(LineError("too_many_requests", message))
            break
    found.end()
    if not found.lines and not found.wrong:
        found.refuse(LineError("empty_file", "the file has no requests"))
    return found


def body_of(row: bytes) -> bytes:
    """The body of the request in a line that was read before."""
    return json.dumps(json.loads(row)["body"], ensure_ascii=False).encode()


def _read_line(
    found: ReadLines,
    seen: set[str],
    row: bytes,
    place: tuple[int, int],
    endpoint: str,
    max_bytes: int,
) -> None:
    number, start = place
    request = _parsed(row, max_bytes)
    if isinstance(request, tuple):
        found.add(None, [LineError(request[0], request[1], number)])
        return
    errors = [
        LineError(code, message, number, param)
        for param, check in CHECKS.items()
        if (wrong := check(request, endpoint)) is not None
        for code, message in (wrong,)
    ]
    custom_id = str(request.get("custom_id"))
    if not errors and custom_id in seen:
        message = f"custom_id {custom_id[:80]!r} stands in a line before"
        errors.append(LineError("duplicate_custom_id", message, number, "custom_id"))
    if not errors:
        seen.add(custom_id)
    found.add(None if errors else BatchLine(number, custom_id, start, len(row)), errors)


def _parsed(row: bytes, max_bytes: int) -> dict[str, Any] | tuple[str, str]:
    """The request, or code and message of what is wrong with the line as a whole."""
    if len(row) > max_bytes:
        return "line_too_long", f"the line is longer than {max_bytes} bytes"
    try:
        request = json.loads(row)
    except (ValueError, RecursionError):
        return "invalid_json_line", "the line is not valid JSON"
    if not isinstance(request, dict):
        return "invalid_json_line", "the line is not a JSON object"
    return request


Wrong = tuple[str, str] | None


def _custom_id(request: dict[str, Any], _endpoint: str) -> Wrong:
    given = request.get("custom_id")
    if given is None:
        return "missing_required_parameter", "custom_id: must be given"
    if not isinstance(given, str) or not 0 < len(given) <= MAX_ID_CHARS:
        return "invalid_custom_id", f"custom_id: a text of 1 to {MAX_ID_CHARS} characters"
    return None


def _method(request: dict[str, Any], _endpoint: str) -> Wrong:
    if request.get("method") != "POST":
        return "invalid_method", "method: must be POST"
    return None


def _url(request: dict[str, Any], endpoint: str) -> Wrong:
    if request.get("url") != endpoint:
        return "invalid_url", f"url: must be {endpoint}, which the batch names"
    return None


def _body(request: dict[str, Any], _endpoint: str) -> Wrong:
    body = request.get("body")
    if not isinstance(body, dict):
        return "missing_required_parameter", "body: must be an object"
    if not isinstance(body.get("model"), str):
        return "missing_required_parameter", "body.model: must be given"
    if body.get("stream"):
        return "unsupported_parameter", "body.stream: a batch streams nothing"
    return None


CHECKS: dict[str, Callable[[dict[str, Any], str], Wrong]] = {
    "custom_id": _custom_id,
    "method": _method,
    "url": _url,
    "body": _body,
}
