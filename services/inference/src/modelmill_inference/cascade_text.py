"""Use case: one request for text by a cascade; the small model first, the large one if need be."""

import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

from modelmill_service_kit.errors import DomainError, InvalidInputError

from modelmill_inference.answer_writer import AnswerEnd, AnswerPart
from modelmill_inference.domain.cascade import Cascade, CascadePath, confidence
from modelmill_inference.domain.generation import PromptTooLongError
from modelmill_inference.generate_text import GenerateCommand, GenerateText
from modelmill_inference.metrics import CASCADES

log = logging.getLogger(__name__)


class CascadeText:
    """The small model's answer is held back until it is known whether it stands."""

    def __init__(self, generate_text: GenerateText) -> None:
        self._generate_text = generate_text

    async def __call__(
        self, command: GenerateCommand, cascade: Cascade
    ) -> AsyncGenerator[AnswerPart, None]:
        """The answer, its end with the way it took. Several answers are the large model's.

        Raises:
            As of `GenerateText`; what only keeps the small model from answering is not raised.
        """
        draft: Sequence[AnswerPart] = ()
        if command.options.answers == 1:
            draft = await self._draft(command, cascade)
        path = _path(draft, cascade)
        CASCADES.labels("large" if path.escalated else "small").inc()
        if not path.escalated:
            for part in draft:
                yield _told(part, path, wants_logprobs=command.options.logprobs is not None)
            return
        async with aclosing(self._generate_text(command)) as parts:
            async for part in parts:
                yield _told(part, path, wants_logprobs=True)

    async def _draft(self, command: GenerateCommand, cascade: Cascade) -> Sequence[AnswerPart]:
        """The small model's whole answer; empty when it has none."""
        options = replace(command.options, logprobs=command.options.logprobs or 0)
        asked = replace(command, version_id=cascade.small, options=options)
        try:
            async with aclosing(self._generate_text(asked)) as parts:
                return [part async for part in parts]
        except DomainError as error:
            # What is wrong with the request the large model would say as well, but for its length.
            if isinstance(error, InvalidInputError) and not isinstance(error, PromptTooLongError):
                raise
            log.info("%s did not answer for a cascade: %s", cascade.small, error)
            return ()


def _path(draft: Sequence[AnswerPart], cascade: Cascade) -> CascadePath:
    sure = confidence([token.logprob for part in draft for token in part.logprobs])
    end = draft[-1].end if draft else None
    tokens = 0 if end is None else end.prompt_tokens + end.completion_tokens
    if end is not None and sure >= cascade.threshold:
        return CascadePath(False, sure, cascade.threshold, spared_tokens=tokens, extra_tokens=0)
    return CascadePath(True, sure, cascade.threshold, spared_tokens=0, extra_tokens=tokens)


def _told(part: AnswerPart, path: CascadePath, *, wants_logprobs: bool) -> AnswerPart:
    end: AnswerEnd | None = None if part.end is None else replace(part.end, cascade=path)
    return replace(part, end=end, logprobs=part.logprobs if wants_logprobs else ())
