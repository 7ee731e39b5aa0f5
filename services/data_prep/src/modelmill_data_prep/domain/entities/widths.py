"""Full-width digits and letters, as Chinese and Japanese texts have them, in the width of ASCII."""

_FIRST, _LAST = 0xFF01, 0xFF5E
_SHIFT = 0xFEE0
WIDE = tuple("０１２３４５６７８９＠")
"""One of them is in every text in which something that rules find is written in full width."""

_MARKS = "＋－．＠＿"
"""Of marks those that stand inside of numbers and addresses: "：" and "，" stand beside them."""

_PLAIN = {
    code: code - _SHIFT
    for code in range(_FIRST, _LAST + 1)
    if chr(code - _SHIFT).isalnum() or chr(code) in _MARKS
}


def in_plain_width(text: str) -> str:
    """The text with as many characters, each at its place."""
    return text.translate(_PLAIN)
