"""Batch encoding of conversations, with the spans of assistant messages."""

import itertools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from modelmill_service_kit.errors import InvalidInputError

from modelmill_tokenization.answers import AnswerFinder, Rendered
from modelmill_tokenization.chat_tokenizer import ChatTokenizer
from modelmill_tokenization.tool_turns import Function, Turn


class Conversation(NamedTuple):
    """What is to be encoded. One turn alone, the assistant's, is a document."""

    messages: Sequence[Turn]
    tools: Sequence[Function] = ()
    rejected: str | None = None
    """Of a preference pair: the worse last answer."""


class EncodedConversation(NamedTuple):
    """Token ids, and where among them the assistant speaks."""

    ids: list[int]
    spans: list[tuple[int, int]]
    """From and to which ids are the assistant's, in order; of a document all but the first id,
    which nothing predicts; of a preference pair the last answer alone."""
    rejected_ids: list[int] | None
    """Of a preference pair: the worse answer, in the place of the last span."""
    unfound: int
    """Answers before the last one that are not in `spans`, because the chat template writes them
    otherwise or a token lies across their edge."""


class ConversationEncoder:
    """Encodes conversations of one model; not for several threads at once.

    The last answer is encoded apart from what precedes it, as `ChatTokenizer.encode_example` does
    and for its reason; everything before is encoded as the one text that the model will be sent.
    """

    def __init__(self, tokenizer: ChatTokenizer) -> None:
        self._tokenizer = tokenizer
        self._finder = AnswerFinder(tokenizer)
        self._encode = tokenizer.section_encoder()

    def __call__(
        self, conversations: Iterable[Conversation]
    ) -> list[EncodedConversation | InvalidInputError]:
        """Each conversation, or why it cannot be one for this model."""
        jobs = [self._job_of(conversation) for conversation in conversations]
        texts = [text for job in jobs if isinstance(job, _Job) for text in job.texts]
        ids = iter(self._encode(texts))
        return [
            job if isinstance(job, InvalidInputError) else self._assembled(job, ids) for job in jobs
        ]

    def _job_of(self, conversation: Conversation) -> "_Job | InvalidInputError":
        messages, tools, rejected = conversation
        if len(messages) == 1 and messages[0]["role"] == "assistant":
            return _Job(None, [messages[0]["content"]], [])
        try:
            rendered = self._finder.render(messages, tools)
        except InvalidInputError as error:
            return error
        texts = [rendered.prompt, rendered.answer]
        if rejected is not None:
            return _Job(rendered, [*texts, rejected + self._tokenizer.end_of_turn], [], pair=True)
        pieces = _pieces(rendered)
        return _Job(rendered, texts + pieces, pieces)

    def _assembled(
        self, job: "_Job", ids: Iterable[list[int]]
    ) -> EncodedConversation | InvalidInputError:
        encoded = [one for _, one in zip(job.texts, ids, strict=False)]
        if job.rendered is None:
            [document] = encoded
            if len(document) < 2:
                return InvalidInputError("a document of fewer than two tokens teaches nothing")
            return EncodedConversation(document, [(1, len(document))], None, 0)
        prompt, answer, *rest = encoded
        last = (len(prompt), len(prompt) + len(answer))
        if not prompt or not answer:
            return InvalidInputError("the prompt or the answer has no tokens")
        if job.pair:
            return EncodedConversation(prompt + answer, [last], rest[0], 0)
        spans = self._spans(job.rendered, prompt, rest) if rest else []
        unfound = job.rendered.unfound + len(job.rendered.spans) - len(spans)
        return EncodedConversation(prompt + answer, [*spans, last], None, unfound)

    def _spans(
        self, rendered: Rendered, prompt: list[int], pieces: Sequence[list[int]]
    ) -> list[tuple[int, int]]:
        """The stretches of the prompt in ids."""
        if [token for piece in pieces for token in piece] == prompt:
            edges, at = [], 0
            for piece in pieces:
                at += len(piece)
                edges.append(at)
            return [(edges[2 * span], edges[2 * span + 1]) for span in range(len(rendered.spans))]
        # A tokenizer that begins every text in its own way, or a token across an edge: each edge
        # by itself, since only the one with the token across it is lost.
        found = ((self._edge(rendered, prompt, at) for at in span) for span in rendered.spans)
        return [(first, last) for first, last in found if first is not None and last is not None]

    def _edge(self, rendered: Rendered, prompt: list[int], at: int) -> int | None:
        """How many ids come before a character; None when it lies within a token."""
        before = self._tokenizer.encode(rendered.prompt[:at])
        return len(before) if prompt[: len(before)] == before else None


class _Job(NamedTuple):
    """A conversation as the texts that are to be encoded for it."""

    rendered: Rendered | None
    """None for a document."""
    texts: list[str]
    pieces: list[str]
    """The last of `texts`: the prompt, cut where the assistant begins and ends."""
    pair: bool = False


def _pieces(rendered: Rendered) -> list[str]:
    if not rendered.spans:
        return []
    edges = [0, *(at for span in rendered.spans for at in span), len(rendered.prompt)]
    return [rendered.prompt[first:last] for first, last in itertools.pairwise(edges)]
