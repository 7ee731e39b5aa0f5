"""Use case: how long a prompt is, as it would be counted in an answer."""

from dataclasses import dataclass

from modelmill_inference.demand_call import demanded_call
from modelmill_inference.lease_version import VersionPool
from modelmill_inference.load_version import LoadedVersion
from modelmill_inference.render_prompt import Prompt, prompt_tokens


@dataclass(frozen=True, slots=True)
class CountedPrompt:
    """The answer."""

    version_id: str
    tokens: int


class CountTokens:
    """Renders and encodes; no engine has to do anything, so that nobody waits for a turn."""

    def __init__(self, versions: VersionPool) -> None:
        self._versions = versions

    async def __call__(
        self, tenant: str, version_id: str, prompt: Prompt, deadline: float | None = None
    ) -> CountedPrompt:
        """The count, by the tokenizer of the version, which is loaded for it.

        Raises:
            NotFoundError, OverloadedError, UnavailableError, PreconditionError: as of generating.
            InvalidInputError: a conversation that no answer could follow, or longer than fits.
        """
        prompt.check()
        async with self._versions.lease(tenant, version_id, deadline) as version:
            tokens = await whole_prompt(prompt, version, tenant)
            return CountedPrompt(version.version_id, len(tokens))


async def whole_prompt(prompt: Prompt, version: LoadedVersion, tenant: str) -> list[int]:
    """Its ids, with the beginning of a call where one is demanded."""
    tokens = await prompt_tokens(prompt, version, tenant)
    if not prompt.must_call:
        return tokens
    before = demanded_call(version.tokenizer, prompt.offered).before
    [beginning] = await version.prompts.encode(tenant, [before])
    return [*tokens, *beginning]
