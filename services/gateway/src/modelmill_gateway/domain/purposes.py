"""What files may be uploaded for: those of OpenAI's purposes for which there is a use here."""

from typing import Literal, get_args

Purpose = Literal["fine-tune", "batch", "evals", "user_data"]

PURPOSES = frozenset(get_args(Purpose))
WRONG_PURPOSE = f"purpose: must be one of {', '.join(get_args(Purpose))}"
