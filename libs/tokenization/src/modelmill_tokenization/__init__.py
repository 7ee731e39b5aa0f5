"""Chat template and tokenizer: one way from messages to ids, for training and serving alike."""

from modelmill_tokenization.chat_tokenizer import ChatTokenizer
from modelmill_tokenization.tool_turns import Function, FunctionCall, Turn

__all__ = ["ChatTokenizer", "Function", "FunctionCall", "Turn"]
