"""Every field that Anthropic documents for its Messages API, and what becomes of it here.

The names come from the installed SDK, of its beta too: a release with a new field, block or tool
fails a test until it stands here, or in `anthropic_kinds`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, get_type_hints

from anthropic import types as sdk
from anthropic.types import beta
from anthropic.types import message_create_params as create
from anthropic.types.beta import message_count_tokens_params as beta_count
from anthropic.types.beta import message_create_params as beta_create

from gateway_support.house import BUILD
from gateway_support.messages import PATH, QUESTION, SCHEMA, TOOL

COUNT = f"{PATH}/count_tokens"
TEXT = {"type": "text", "text": "hello"}
CALL = {"type": "tool_use", "id": "a", "name": "weather", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "a", "content": "wet"}
CACHED = {"cache_control": {"type": "ephemeral", "ttl": "5m"}}
ASKED = {"model": "default", "messages": [QUESTION], "tools": [TOOL]}
Body = dict[str, Any]


def a_message(**changes: Any) -> Body:
    """A body of a request with a tool."""
    return ASKED | {"max_tokens": 9} | changes


@dataclass(frozen=True)
class Fields:
    """The fields of one thing, each with an example: `served` ones change what inference is asked
    or how the answer comes, `refused` ones are named in a 400, `ignored` ones change nothing."""

    documented: tuple[Any, ...]
    """Types of the SDK, which together have all of its fields."""
    least: Body
    """The thing with what must be there."""
    served: Body
    refused: Body = field(default_factory=dict)
    ignored: Body = field(default_factory=dict)
    kinds: frozenset[str] = frozenset({"type"})
    """Fields that say what the thing is."""
    within: Callable[[Body], Body] = lambda thing: thing
    """A whole body that has the thing."""
    path: str = PATH

    @property
    def unknown(self) -> set[str]:
        """Fields that are documented or decided, but not both."""
        decided = {*self.served, *self.refused, *self.ignored, *self.kinds}
        documented: set[str] = set().union(*(get_type_hints(it) for it in self.documented))
        return decided ^ documented


ASKING = {
    "model": BUILD,
    "messages": [QUESTION, QUESTION],
    "system": "be brief",
    "tools": [TOOL, TOOL | {"name": "time"}],
    "tool_choice": {"type": "none"},
    "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
}
UNASKED = {
    "billing_policy": {"type": "any"},
    "betas": ["a-2026-01-01"],
    "user_profile_id": "u",
    "workspace_id": "w",
    **CACHED,
}
"""Nobody answers otherwise for them; `betas` and both ids are headers."""
UNSERVED = {
    "compaction": {"type": "auto"},
    "context_management": {"edits": []},
    "mcp_servers": [{"type": "url", "url": "https://a.example", "name": "a"}],
    "speed": "fast",
    "thinking": {"type": "enabled", "budget_tokens": 1024},
}

FIELDS = {
    "create": Fields(
        (create.MessageCreateParamsNonStreaming, beta_create.MessageCreateParamsNonStreaming),
        a_message(),
        served={
            **ASKING,
            "max_tokens": 5,
            "stop_sequences": ["x"],
            "stream": True,
        },
        refused={
            **UNSERVED,
            "container": "c",
            "diagnostics": {"previous_message_id": None},
            "fallbacks": [{"model": "other"}],
            "inference_geo": "eu",
            "thread": {"id": "t"},
        },
        ignored={
            **UNASKED,
            "fallback_credit_token": "t",
            "metadata": {"user_id": "u"},
            "service_tier": "standard_only",
        },
        kinds=frozenset(),
    ),
    "count": Fields(
        (sdk.MessageCountTokensParams, beta_count.MessageCountTokensParams),
        ASKED,
        served={name: ASKING[name] for name in ("model", "messages", "system", "tools")},
        refused=UNSERVED | {"output_config": {"effort": "low"}},
        ignored=UNASKED | {"tool_choice": {"type": "auto"}},
        kinds=frozenset(),
        path=COUNT,
    ),
    "text": Fields(
        (sdk.TextBlockParam, beta.BetaTextBlockParam),
        TEXT,
        served={"text": "bye"},
        refused={"citations": [{"type": "char_location", "cited_text": "a"}]},
        ignored=CACHED,
        within=lambda block: a_message(messages=[{"role": "user", "content": [block]}]),
    ),
    "system": Fields(
        (sdk.TextBlockParam, beta.BetaTextBlockParam),
        TEXT,
        served={"text": "bye"},
        refused={"citations": [{"type": "char_location", "cited_text": "a"}]},
        ignored=CACHED,
        within=lambda block: a_message(system=[block]),
    ),
    "tool_use": Fields(
        (sdk.ToolUseBlockParam, beta.BetaToolUseBlockParam),
        CALL,
        served={"id": "b", "name": "time", "input": {"city": "Bern"}},
        refused={
            "caller": {"type": "code_execution_20250825", "tool_id": "t"},
            "toolset_name": "browser",
        },
        ignored=CACHED,
        within=lambda block: a_message(
            messages=[QUESTION, {"role": "assistant", "content": [block]}, QUESTION]
        ),
    ),
    "tool_result": Fields(
        (sdk.ToolResultBlockParam, beta.BetaToolResultBlockParam),
        RESULT,
        served={"tool_use_id": "b", "content": [TEXT], "is_error": True},
        refused={"toolset_name": "browser"},
        ignored=CACHED,
        within=lambda block: a_message(messages=[{"role": "user", "content": [block]}]),
    ),
    "user turn": Fields(
        (sdk.UserMessageParam,),
        QUESTION,
        served={"content": [TEXT, TEXT]},
        kinds=frozenset({"role"}),
        within=lambda turn: a_message(messages=[turn]),
    ),
    "assistant turn": Fields(
        (sdk.AssistantMessageParam,),
        {"role": "assistant", "content": "a"},
        served={"content": [TEXT, CALL]},
        kinds=frozenset({"role"}),
        within=lambda turn: a_message(messages=[turn, QUESTION]),
    ),
    "system turn": Fields(
        (sdk.SystemMessageParam, beta.BetaSystemMessageParam),
        {"role": "system", "content": "a"},
        served={"content": [TEXT]},
        refused={"clear_at": "next_user_message", "output_config": {"effort": "low"}},
        kinds=frozenset({"role"}),
        within=lambda turn: a_message(messages=[turn, QUESTION]),
    ),
    "tool": Fields(
        (sdk.ToolParam, beta.BetaToolParam),
        TOOL,
        served={"name": "time", "description": "other", "input_schema": {"type": "object"}},
        refused={
            "allowed_callers": ["code_execution_20250825"],
            "defer_loading": True,
            "input_examples": [{"city": "Bern"}],
            "strict": True,
        },
        ignored=CACHED | {"eager_input_streaming": True},
        within=lambda tool: a_message(tools=[tool]),
    ),
    "demanded tool": Fields(
        (sdk.ToolParam, beta.BetaToolParam),
        TOOL,
        served={"name": "time", "description": "other", "input_schema": {"type": "object"}},
        refused={
            "allowed_callers": ["code_execution_20250825"],
            "defer_loading": True,
            "input_examples": [{"city": "Bern"}],
        },
        # A call that must be made is held to its schema, whether it is asked for or not.
        ignored=CACHED | {"eager_input_streaming": True, "strict": True},
        within=lambda tool: a_message(tools=[tool], tool_choice={"type": "any"}),
    ),
    "free choice": Fields(
        (sdk.ToolChoiceAutoParam, beta.BetaToolChoiceAutoParam),
        {"type": "auto"},
        served={},
        refused={"disable_parallel_tool_use": True},
        within=lambda choice: a_message(tool_choice=choice),
    ),
    "any tool": Fields(
        (sdk.ToolChoiceAnyParam, beta.BetaToolChoiceAnyParam),
        {"type": "any"},
        served={},
        # A call that must be made is one call here.
        ignored={"disable_parallel_tool_use": True},
        within=lambda choice: a_message(tool_choice=choice),
    ),
    "one tool": Fields(
        (sdk.ToolChoiceToolParam, beta.BetaToolChoiceToolParam),
        {"type": "tool", "name": "weather"},
        served={"name": "time"},
        ignored={"disable_parallel_tool_use": True},
        within=lambda choice: a_message(tools=[TOOL, TOOL | {"name": "time"}], tool_choice=choice),
    ),
    "no tool": Fields(
        (sdk.ToolChoiceNoneParam, beta.BetaToolChoiceNoneParam),
        {"type": "none"},
        served={},
        within=lambda choice: a_message(tool_choice=choice),
    ),
    "output_config": Fields(
        (sdk.OutputConfigParam, beta.BetaOutputConfigParam),
        {},
        served={"format": {"type": "json_schema", "schema": SCHEMA}},
        refused={"effort": "low", "task_budget": {"type": "tokens", "total": 20_000}},
        kinds=frozenset(),
        within=lambda config: a_message(output_config=config),
    ),
    "output format": Fields(
        (sdk.JSONOutputFormatParam, beta.BetaJSONOutputFormatParam),
        {"type": "json_schema", "schema": SCHEMA},
        served={"schema": {"type": "object"}},
        within=lambda form: a_message(output_config={"format": form}),
    ),
    "no thinking": Fields(
        (sdk.ThinkingConfigDisabledParam, beta.BetaThinkingConfigDisabledParam),
        {"type": "disabled"},
        served={},
        within=lambda thinking: a_message(thinking=thinking),
    ),
    "metadata": Fields(
        (sdk.MetadataParam, beta.BetaMetadataParam),
        {},
        served={},
        # Only the variant of an alias that is shared out depends on it.
        ignored={"user_id": "u"},
        kinds=frozenset(),
        within=lambda metadata: a_message(metadata=metadata),
    ),
    "cache_control": Fields(
        (sdk.CacheControlEphemeralParam, beta.BetaCacheControlEphemeralParam),
        {"type": "ephemeral"},
        served={},
        ignored={"ttl": "1h"},
        within=lambda cached: a_message(cache_control=cached),
    ),
}
