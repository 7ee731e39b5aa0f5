"""Converts full-width ASCII characters, common in Chinese and Japanese, to half width."""

_FIRST, _LAST = 0xFF01, 0xFF5E
_SHIFT = 0xFEE0
WIDE = tuple("０１２３４５６７８９＠")
"""Every full-width entity contains one of these characters."""

_MARKS = "＋－．＠＿"
"""Marks inside numbers and addresses; "：" and "，" only occur beside them."""

_PLAIN = {
    code: code - _SHIFT
    for code in range(_FIRST, _LAST + 1)
    if chr(code - _SHIFT).isalnum() or chr(code) in _MARKS
}


def to_half_width(text: str) -> str:
    """Convert character by character, so that positions stay."""
    return text.translate(_PLAIN)
