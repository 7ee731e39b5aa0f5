"""Chat template and tokenizer: one way from messages to ids, for training and serving alike."""

from tokenization.chat_template import Turn
from tokenization.chat_tokenizer import ChatTokenizer

__all__ = ["ChatTokenizer", "Turn"]
