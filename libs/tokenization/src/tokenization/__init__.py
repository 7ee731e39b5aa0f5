"""Chat template and tokenizer: one way from messages to ids, for training and serving alike."""

from tokenization.chat_tokenizer import ChatTokenizer
from tokenization.tool_turns import Function, FunctionCall, Turn

__all__ = ["ChatTokenizer", "Function", "FunctionCall", "Turn"]
