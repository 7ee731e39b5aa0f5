"""Where the foreign code of a model runs: its chat template and its tokenizer's expressions.

Each in a child process that has limits on time, memory and output, and is killed past them.
"""

from modelmill_tokenization.bounded.limits import LimitError, Limits

__all__ = ["LimitError", "Limits"]
