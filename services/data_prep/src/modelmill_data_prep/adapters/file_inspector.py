"""A child process that looks into files, started when it is first needed and kept."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from modelmill_service_kit.child_process import ChildProcess
from modelmill_service_kit.errors import InvalidInputError

CHILD = "modelmill_data_prep.inspector_child"
ANSWER_SECONDS = 60.0
"""Loading the libraries on a slow and busy machine, and the largest rows."""

CHILDREN_ASKED = 2
"""A child that is killed may have been killed for what others took of the memory, or by somebody;
a second one that dies of the same question does not die by chance."""


class FileInspector:
    """Looks into one file at a time; who comes meanwhile waits.

    A child that dies while it answers costs nobody an answer: a fresh one is asked the same once.

    Args:
        folder: For the child's log.
        module: What the child runs.
        seconds: A child that is silent for longer is ended.
    """

    def __init__(
        self, folder: Path, *, module: str = CHILD, seconds: float = ANSWER_SECONDS
    ) -> None:
        self._folder = folder
        self._module = module
        self._seconds = seconds
        self._child: ChildProcess | None = None
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._end()

    async def opening(self, path: Path, file_format: str) -> None:
        """Refuse a file that cannot be of its format, by its first bytes alone.

        Raises:
            InvalidInputError: It is not of its format, or brings its reader down.
        """
        await self._ask({"look": "opening", "path": str(path), "format": file_format})

    async def spec(
        self, path: Path, file_format: str, *, spec: Mapping[str, Any], max_row_bytes: int
    ) -> dict[str, str]:
        """Refuse a spec that reads a column that no row of the file's first ones has.

        Returns:
            How the file is read, as fields of `modelmill.data_prep.v1.ReadingSpec`.

        Raises:
            InvalidInputError: It does, or the file is not of its format, or brings its reader down.
        """
        request = {"look": "spec", "path": str(path), "format": file_format, "spec": dict(spec)}
        form: dict[str, str] = await self._ask({**request, "max_row_bytes": max_row_bytes})
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
    ) -> dict[str, Any]:
        """What the first rows would become, as `modelmill_data_prep.previews.preview` says it.

        Raises:
            InvalidInputError: The spec or the file is wrong, or the file brings its reader down.
        """
        request = {"look": "preview", "path": str(path), "format": file_format, "spec": dict(spec)}
        limits = {"rows": rows, "max_row_bytes": max_row_bytes}
        shown: dict[str, Any] = await self._ask(
            {**request, **limits, "pseudonym_key": pseudonym_key.hex()}
        )
        return shown

    async def stories(self, folder: Path, line: int) -> list[dict[str, Any]]:
        """What became of a source line, as `modelmill_data_prep.previews.row_stories` says
        it."""
        request = {"look": "stories", "folder": str(folder), "line": line}
        stories: list[dict[str, Any]] = await self._ask(request)
        return stories

    async def difference(self, first: Path, second: Path, samples: int) -> dict[str, Any]:
        """What two datasets do not have in common, as `dataset_difference` there says it."""
        request = {"look": "difference", "first": str(first), "second": str(second)}
        found: dict[str, Any] = await self._ask({**request, "samples": samples})
        return found

    async def _ask(self, request: dict[str, Any]) -> Any:
        async with self._turn:
            answer = await self._answer_of_one_child_or_two(request)
        if "errors" in answer:
            raise InvalidInputError(answer["errors"])
        return answer["answer"]

    async def _answer_of_one_child_or_two(self, request: dict[str, Any]) -> dict[str, Any]:
        for _ in range(CHILDREN_ASKED):
            try:
                async with asyncio.timeout(self._seconds):
                    answer = await self._answer(request)
            except TimeoutError:
                await self._end()
                raise InvalidInputError("the file takes its reader too long") from None
            except BaseException:
                # The answer to a question that nobody waits for must not be another's.
                await self._end()
                raise
            if answer is not None:
                return answer
            await self._end()
        raise InvalidInputError("the file brings its reader down: it did so twice")

    async def _answer(self, request: dict[str, Any]) -> dict[str, Any] | None:
        """What the child says, None when it died."""
        if self._child is not None and self._child.has_ended:
            # It died while nobody asked, which no file is to blame for.
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
