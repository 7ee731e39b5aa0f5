"""What a response of OpenAI's Responses API consists of, and what it repeats of its request."""

from typing import Any

from modelmill_gateway.domain.chat import End
from modelmill_gateway.entrypoints.bodies.response_body import FunctionTool, ResponseBody
from modelmill_gateway.entrypoints.schemas.parsing import OpenBody

View = dict[str, Any]


def text_part(text: str, logprobs: list[View]) -> View:
    """The only part of a message."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs}


def usage_view(end: End) -> View | None:
    """What it cost; None when its engine was stopped before it told."""
    if end.usage is None:
        return None
    asked, said = end.usage.prompt_tokens, end.usage.completion_tokens
    return {
        "input_tokens": asked,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": said,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": asked + said,
    }


def single_verdicts(sides: View) -> View:
    """Verdicts as a response has them: one of each side."""
    return {side: results["results"][0] for side, results in sides.items()}


def repeated_view(body: ResponseBody) -> View:
    """What a response says of its request."""
    form = body.text.format if body.text else None
    choice = body.tool_choice
    return {
        "background": False,
        "instructions": body.instructions,
        "max_output_tokens": body.max_output_tokens,
        "max_tool_calls": body.max_tool_calls,
        "metadata": body.metadata or {},
        "parallel_tool_calls": body.parallel_tool_calls is not False,
        "previous_response_id": None,
        "prompt_cache_key": body.prompt_cache_key,
        "reasoning": {"effort": None, "summary": None},
        "safety_identifier": body.safety_identifier,
        "service_tier": "default",
        "store": False,
        "temperature": 1.0 if body.temperature is None else body.temperature,
        "text": {
            "format": _as_sent(form) if form else {"type": "text"},
            "verbosity": "medium",
        },
        "tool_choice": _as_sent(choice) if isinstance(choice, OpenBody) else choice or "auto",
        "tools": [_tool(tool) for tool in body.tools or ()],
        "top_logprobs": body.top_logprobs or 0,
        "top_p": 1.0 if body.top_p is None else body.top_p,
        "truncation": "disabled",
        "user": body.user,
    }


def _as_sent(said: OpenBody) -> View:
    return said.model_dump(by_alias=True, exclude_none=True)


def _tool(tool: FunctionTool) -> View:
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
        "strict": tool.strict,
    }
