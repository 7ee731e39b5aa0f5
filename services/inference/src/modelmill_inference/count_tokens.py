"""Use case: count the tokens of a prompt, as usage would report them."""

from dataclasses import dataclass

from modelmill_inference.forced_call import forced_call
from modelmill_inference.lease_version import VersionPool
from modelmill_inference.load_version import LoadedVersion
from modelmill_inference.render_prompt import Prompt, prompt_tokens


@dataclass(frozen=True, slots=True)
class PromptCount:
    """Token count of a prompt."""

    version_id: str
    tokens: int


class CountTokens:
    """Renders and encodes; no engine is involved, so there is no queue."""

    def __init__(self, versions: VersionPool) -> None:
        self._versions = versions

    async def __call__(
        self, tenant: str, version_id: str, prompt: Prompt, deadline: float | None = None
    ) -> PromptCount:
        """Count with the version's tokenizer; loads the version if necessary.

        Raises:
            NotFoundError, OverloadedError, UnavailableError, PreconditionError: as of generating.
            InvalidInputError: the conversation is invalid, or longer than the context.
        """
        prompt.check()
        async with self._versions.lease(tenant, version_id, deadline) as version:
            tokens = await whole_prompt(prompt, version, tenant)
            return PromptCount(version.version_id, len(tokens))


async def whole_prompt(prompt: Prompt, version: LoadedVersion, tenant: str) -> list[int]:
    """Token ids of a prompt, with the prefix of a forced call."""
    tokens = await prompt_tokens(prompt, version, tenant)
    if not prompt.must_call:
        return tokens
    before = forced_call(version.tokenizer, prompt.offered).before
    [prefix] = await version.prompts.encode(tenant, [before])
    return [*tokens, *prefix]
