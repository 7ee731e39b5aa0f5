"""The field `moderation` of a chat, as OpenAI's clients send it."""

from typing import Literal

from pydantic import Field

from modelmill_gateway.domain.chat import Moderated
from modelmill_gateway.entrypoints.schemas.parsing import OpenBody


class SideBody(OpenBody):
    """Moderation mode of one side, beyond the tenant's policy."""

    mode: Literal["score", "block"]


class SidesBody(OpenBody):
    """Moderation modes of input and output; a side that is not named is scored."""

    input: SideBody | None = None
    output: SideBody | None = None


class InlineModerationBody(OpenBody):
    """Inline moderation: results beside the answer; `block` stops whatever a rule matches."""

    model: str | None = Field(
        None, max_length=256, description="Ignored: the tenant's policy judges."
    )
    policy: SidesBody | None = None

    @property
    def requested(self) -> Moderated:
        """As the domain has it."""
        sides = self.policy or SidesBody()
        return Moderated(blocks_input=_blocks(sides.input), blocks_output=_blocks(sides.output))


def _blocks(side: SideBody | None) -> bool:
    return side is not None and side.mode == "block"
