"""Inspects untrusted files in a child process, which is started on first use and reused."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from modelmill_service_kit.child_process import ChildProcess
from modelmill_service_kit.errors import InvalidInputError

from modelmill_data_prep.comparison_folder import STORED

CHILD = "modelmill_data_prep.inspector_child"
ANSWER_SECONDS = 60.0
"""Timeout of a request; covers importing libraries on a busy machine and the largest rows."""

MAX_CHILDREN = 2
"""Attempts per request. One child may be killed for reasons that have nothing to do with the file,
such as memory pressure; two are the file's fault."""

Comparing = Literal["comparison", "difference", "unshared"]


@dataclass(frozen=True)
class ComparedPair:
    """Two datasets that a tenant asks of, each by its digest and its local folder."""

    tenant: str
    datasets: tuple[tuple[str, Path], tuple[str, Path]]


class FileInspector:
    """Runs one request at a time; others wait. A request whose child dies is retried once.


    Args:
        folder: Folder of the child's log.
        module: Python module that the child runs.
        seconds: Timeout of a request, after which the child is killed.
        what: What is read, and of which a simpler one may be read.
    """

    def __init__(
        self,
        folder: Path,
        *,
        module: str = CHILD,
        seconds: float = ANSWER_SECONDS,
        what: str = "file",
    ) -> None:
        self._folder = folder
        self._what = what
        self._module = module
        self._seconds = seconds
        self._child: ChildProcess | None = None
        self._lock = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._end()

    async def check_opening(self, path: Path, file_format: str) -> None:
        """Reject a file whose first bytes contradict its format.

        Raises:
            InvalidInputError: The file is not of its format, or crashes its reader.
        """
        await self._ask({"look": "opening", "path": str(path), "format": file_format})

    async def check_spec(
        self, path: Path, file_format: str, *, spec: Mapping[str, Any], max_row_bytes: int
    ) -> dict[str, Any]:
        """Reject a spec that reads a column which none of the file's first rows has.

        Returns:
            How the file is read, as fields of `modelmill.data_prep.v1.ReadingSpec`.

        Raises:
            InvalidInputError: A column is missing, the file is not of its format, or crashes its
            reader.
        """
        request = {"look": "spec", "path": str(path), "format": file_format, "spec": dict(spec)}
        form: dict[str, Any] = await self._ask({**request, "max_row_bytes": max_row_bytes})
        return form

    async def preview(
        self,
        path: Path,
        file_format: str,
        *,
        spec: Mapping[str, Any],
        rows: int,
        max_row_bytes: int,
        pseudonym_key: bytes,
        name: str = "",
    ) -> dict[str, Any]:
        """Preview of the first rows, in the format of `inspector_child.preview`.

        Args:
            name: As people know the file.

        Raises:
            InvalidInputError: Spec or file are invalid, or the file crashes its reader.
        """
        request = {"look": "preview", "path": str(path), "format": file_format, "spec": dict(spec)}
        limits = {"rows": rows, "max_row_bytes": max_row_bytes}
        shown: dict[str, Any] = await self._ask(
            {**request, **limits, "pseudonym_key": pseudonym_key.hex(), "name": name}
        )
        return shown

    async def provenance(self, folder: Path, line: int) -> list[dict[str, Any]]:
        """Provenance of a source line, in the format of `inspector_child.line_provenance`."""
        request = {"look": "provenance", "folder": str(folder), "line": line}
        provenance: list[dict[str, Any]] = await self._ask(request)
        return provenance

    async def compare(self, look: Comparing, pair: ComparedPair, **asked: int) -> dict[str, Any]:
        """What two datasets have in common, in the format of `StoredComparison`.

        Args:
            look: The whole, counts with `samples`, or a page of rows of the first alone: `limit`
                behind number `after`.

        Raises:
            InvalidInputError: The disk has too little free, or it takes too long.
        """
        datasets = [(digest, str(folder)) for digest, folder in pair.datasets]
        where = {"stored": str(self._folder / STORED), "tenant": pair.tenant}
        request = {"look": look, "datasets": datasets, **where}
        found: dict[str, Any] = await self._ask(request | asked)
        return found

    async def _ask(self, request: dict[str, Any]) -> Any:
        async with self._lock:
            answer = await self._answer_with_retry(request)
        if "errors" in answer:
            raise InvalidInputError(answer["errors"])
        return answer["answer"]

    async def _answer_with_retry(self, request: dict[str, Any]) -> dict[str, Any]:
        for _ in range(MAX_CHILDREN):
            try:
                async with asyncio.timeout(self._seconds):
                    answer = await self._answer(request)
            except TimeoutError:
                await self._end()
                raise InvalidInputError(
                    f"reading the {self._what} took more than {self._seconds:g} s. Try a smaller"
                    f" {self._what}"
                ) from None
            except BaseException:
                # A late answer of a cancelled request must not be taken for the next one's.
                await self._end()
                raise
            if answer is not None:
                return answer
            await self._end()
        raise InvalidInputError(
            f"the {self._what} crashed its reader twice. Check the {self._what}"
        )

    async def _answer(self, request: dict[str, Any]) -> dict[str, Any] | None:
        """The child's answer; None if it died."""
        if self._child is not None and self._child.has_ended:
            # It died between requests, so no file caused it.
            await self._end()
        if self._child is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            log_file = self._folder / "child.log"
            self._child = await ChildProcess.start(self._module, log_file=log_file)
        self._child.send(request)
        return await anext(aiter(self._child.messages()), None)

    async def _end(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            await child.close()
