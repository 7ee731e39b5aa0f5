"""Chat template and tokenizer: one way from messages to ids, for training and serving alike."""

from tokenization.chat_template import ChatTemplate, Turn
from tokenization.chat_tokenizer import ChatTokenizer, EncodedExample
from tokenization.text_stream import TextStream

__all__ = ["ChatTemplate", "ChatTokenizer", "EncodedExample", "TextStream", "Turn"]
