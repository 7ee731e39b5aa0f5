"""Use case: generate text by a cascade: the small model first, the large one if it is unsure."""

import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

from modelmill_service_kit.errors import DomainError, InvalidInputError

from modelmill_inference.answer_writer import AnswerEnd, AnswerPart
from modelmill_inference.domain.cascade import Cascade, CascadeOutcome, confidence
from modelmill_inference.domain.generation import PromptTooLongError
from modelmill_inference.generate_text import GenerateCommand, GenerateText
from modelmill_inference.metrics import CASCADES

log = logging.getLogger(__name__)


class CascadeText:
    """Buffers the small model's answer until its confidence is known."""

    def __init__(self, generate_text: GenerateText) -> None:
        self._generate_text = generate_text

    async def __call__(
        self, command: GenerateCommand, cascade: Cascade
    ) -> AsyncGenerator[AnswerPart, None]:
        """Stream the answer; its end says which model gave it. Several answers use the large model.

        Raises:
            As of `GenerateText`; failures of the small model alone are not raised.
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
        """The small model's complete answer; empty if it failed."""
        options = replace(command.options, logprobs=command.options.logprobs or 0)
        asked = replace(command, version_id=cascade.small, options=options)
        try:
            async with aclosing(self._generate_text(asked)) as parts:
                return [part async for part in parts]
        except DomainError as error:
            # An invalid request fails for both models, unless it is too long for the small one.
            if isinstance(error, InvalidInputError) and not isinstance(error, PromptTooLongError):
                raise
            log.info("%s did not answer for a cascade: %s", cascade.small, error)
            return ()


def _path(draft: Sequence[AnswerPart], cascade: Cascade) -> CascadeOutcome:
    sure = confidence([token.logprob for part in draft for token in part.logprobs])
    end = draft[-1].end if draft else None
    tokens = 0 if end is None else end.prompt_tokens + end.completion_tokens
    if end is not None and sure >= cascade.threshold:
        return CascadeOutcome(False, sure, cascade.threshold, spared_tokens=tokens, extra_tokens=0)
    return CascadeOutcome(True, sure, cascade.threshold, spared_tokens=0, extra_tokens=tokens)


def _told(part: AnswerPart, path: CascadeOutcome, *, wants_logprobs: bool) -> AnswerPart:
    end: AnswerEnd | None = None if part.end is None else replace(part.end, cascade=path)
    return replace(part, end=end, logprobs=part.logprobs if wants_logprobs else ())
