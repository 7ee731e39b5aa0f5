"""How far the layers of a model look back."""

from typing import Any

SLIDING = "sliding_attention"
"""As `layer_types` of a configuration names layers that do not look back at all tokens."""


def attention_window(config: Any) -> int:
    """Tokens that a layer looks back at most, the narrowest; 0 where all look back at everything.

    Args:
        config: Of transformers.
    """
    window = getattr(config, "sliding_window", None)
    kinds = getattr(config, "layer_types", None) or ()
    return int(window) if window and (not kinds or SLIDING in kinds) else 0
