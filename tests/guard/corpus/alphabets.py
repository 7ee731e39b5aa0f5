"""Letters and digits in other dress, one character each."""

from string import ascii_lowercase, digits


def _from(first: int, plain: str) -> dict[str, str]:
    return {character: chr(first + number) for number, character in enumerate(plain)}


FULL_WIDTH = {chr(code): chr(code + 0xFEE0) for code in range(0x21, 0x7F)} | {" ": "\u3000"}

CIRCLED: tuple[dict[str, str], ...] = tuple(
    _from(first, ascii_lowercase) | numbers
    for first in (0x24D0, 0x24B6, 0x1F150)  # small, capital, negative
    for numbers in (_from(0x2460, digits[1:]) | {"0": "\u24ea"},)
)
SQUARED: tuple[dict[str, str], ...] = tuple(
    _from(first, ascii_lowercase) for first in (0x1F130, 0x1F170)
)

_MATHEMATICAL_SMALL = (0x1D41A, 0x1D482, 0x1D4EA, 0x1D51E, 0x1D552, 0x1D5BA, 0x1D5EE, 0x1D622)
_MATHEMATICAL_CAPITAL = (0x1D400, 0x1D468, 0x1D4D0, 0x1D56C, 0x1D5A0, 0x1D5D4, 0x1D63C, 0x1D670)
_MATHEMATICAL_DIGITS = (0x1D7CE, 0x1D7D8, 0x1D7E2, 0x1D7EC, 0x1D7F6)
MATHEMATICAL: tuple[dict[str, str], ...] = tuple(
    _from(first, ascii_lowercase) | _from(_MATHEMATICAL_DIGITS[number % 5], digits)
    for number, first in enumerate((*_MATHEMATICAL_SMALL, *_MATHEMATICAL_CAPITAL))
)
"""Bold, italic, script, Fraktur, double-struck, sans-serif and monospace."""

COMBINING = "\u0301\u0300\u0308\u0327\u0335\u0336\u0338\u0323\u20dd\u20e0\u034f\u0489"
ZERO_WIDTH = (
    "\u200b\u200c\u200d\u2060\ufeff\u200e\u200f\u202a\u202c\u2066\u2069\u180e\ufe0e\ufe0f\u3164"
)
SOFT_HYPHEN = "\u00ad"
TAGS = tuple(chr(0xE0000 + code) for code in range(0x20, 0x7F))
"""The tag block's copies of ASCII: no font draws them."""

CONFUSABLES: dict[str, str] = {
    "a": "аɑαꭺ⍺", "b": "ЬᏏƄ", "c": "сϲⅽᴄⲥ", "d": "ԁⅾᏧ", "e": "еҽℯꬲ", "f": "ẝꞙք",
    "g": "ցɡᶃ", "h": "һհᏂ", "i": "іıɩⅰι", "j": "јϳ", "k": "кκ", "l": "ӏⅼǀ", "m": "ⅿм",
    "n": "ոռ", "o": "оοօᴏⲟ", "p": "рρⲣ", "q": "ԛգզ", "r": "гᴦⲅꭇ", "s": "ѕꜱꮪ", "t": "тτ",
    "u": "υսᴜ", "v": "ѵνⅴᴠ", "w": "ԝѡաᴡ", "x": "хⅹ×", "y": "уүγყ", "z": "ᴢꮓ",
}  # fmt: skip
"""Of Unicode's confusables (UTS 39), and the Cyrillic and Greek letters that people take."""

LEET: dict[str, str] = {
    "a": "4@", "b": "8", "e": "3", "g": "9", "i": "1!", "l": "1|", "o": "0", "s": "5$",
    "t": "7+", "z": "2",
}  # fmt: skip

SPACES = ("  ", "   ", "\n", " \n ", "\t", "\u00a0 ", "\u3000", "\r\n", "\u2003\u2009")
SEPARATORS = (".", "-", "_", "*", "·", "/", "~", "|", "•", ",", "+", "…")
CHINESE_SEPARATORS = (*SEPARATORS, "，", "。", "、", "※", "＊")

TRADITIONAL = str.maketrans("龙鳞铁矿蓝树云雾谱晓号凤灯车业", "龍鱗鐵礦藍樹雲霧譜曉號鳳燈車業")
SIMPLIFIED = str.maketrans("鳳燈", "凤灯")

PINYIN: dict[str, str] = {
    "火": "huo3", "花": "hua1", "石": "shi2", "龙": "long2", "鳞": "lin2", "粉": "fen3",
    "星": "xing1", "铁": "tie3", "矿": "kuang4", "蓝": "lan2", "月": "yue4", "草": "cao3",
    "明": "ming2", "珠": "zhu1", "树": "shu4", "云": "yun2", "雾": "wu4", "茶": "cha2",
    "谱": "pu3", "鳳": "feng4", "凰": "huang2", "燈": "deng1", "林": "lin2", "晓": "xiao3",
    "峰": "feng1", "车": "che1", "站": "zhan4", "井": "jing3", "期": "qi1", "天": "tian1",
    "信": "xin4", "片": "pian4", "南": "nan2", "米": "mi3", "线": "xian4", "凤": "feng4",
    "山": "shan1", "业": "ye4", "局": "ju2",
}  # fmt: skip
"""Syllable and tone of the characters in the words."""
TONES = {
    "a": "āáǎà", "o": "ōóǒò", "e": "ēéěè", "i": "īíǐì", "u": "ūúǔù",
}  # fmt: skip

PARTS: dict[str, str] = {
    "花": "艹化", "草": "艹早", "蓝": "艹监", "鳞": "鱼粦", "粉": "米分", "星": "日生",
    "铁": "钅失", "矿": "石广", "明": "日月", "珠": "王朱", "树": "木对", "雾": "雨务",
    "谱": "讠普", "林": "木木", "晓": "日尧", "峰": "山夆", "燈": "火登", "站": "立占",
    "信": "亻言", "期": "其月", "线": "纟戋",
}  # fmt: skip
"""Characters as the parts that they are written of."""
