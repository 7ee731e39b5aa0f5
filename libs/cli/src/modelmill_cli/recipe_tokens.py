"""Tokens of a recipe's rows, by the tokenizer of its base, where that is on this machine."""

from collections.abc import Sequence
from pathlib import Path

from modelmill_client import Modelmill
from modelmill_recipes.plan_recipe import base_of
from modelmill_recipes.recipe import Recipe
from modelmill_recipes.row_conversation import RowConversation
from modelmill_registry.store import open_store
from modelmill_service_kit.errors import InvalidInputError, NotFoundError
from modelmill_tokenization.bounded.here import BoundedConversations, BoundedTokenizer
from modelmill_tokenization.conversations import Conversation
from modelmill_tokenization.tool_turns import turns_of

from modelmill_cli.state_folder import StateFolder


class BaseTokenCounter:
    """Counts as the trainer does; of a base in a folder or in the state folder."""

    def __init__(self, state: StateFolder, recipe: Recipe, client: Modelmill) -> None:
        self._state = state
        self._recipe = recipe
        self._client = client

    def __call__(self, rows: Sequence[RowConversation]) -> list[int]:
        """Of each row that the base can read.

        Raises:
            InvalidInputError: The folder's tokenizer does not work.
            NotFoundError: The base is on another machine.
        """
        tokenizer = BoundedTokenizer.load(self._folder())
        try:
            encode = BoundedConversations(tokenizer)
            said = [Conversation(turns_of(row.messages), (), row.rejected) for row in rows]
            encoded = [each for each in encode(said) if not isinstance(each, InvalidInputError)]
        finally:
            tokenizer.close()
        return [len(each.ids) + len(each.rejected_ids or ()) for each in encoded]

    def _folder(self) -> Path:
        if isinstance(self._recipe.base, Path):
            return self._recipe.base
        store = open_store(str(self._state.artifacts), self._state.artifact_cache)
        try:
            # A model on a hub that was not imported yet has none.
            digest = base_of(self._recipe, self._client).get("digest", "")
            return store.materialise(digest)
        except NotFoundError:
            named = self._recipe.base
            raise NotFoundError(
                f"the tokenizer of {named} is not on this machine. Plan where Modelmill runs, or"
                " name a folder"
            ) from None
