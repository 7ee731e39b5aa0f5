"""Characters of a batch of texts as one array with character classes, for vectorised counting."""

import unicodedata
from collections.abc import Iterable, Sequence
from enum import IntEnum
from functools import cache

import numpy as np
from numpy.typing import NDArray


class CharacterClass(IntEnum):
    """Character class; every character has exactly one."""

    OTHER = 0
    SPACE = 1
    LINE_BREAK = 2
    DIGIT = 3
    PUNCTUATION = 4
    SENTENCE_END = 5
    """Punctuation that ends a sentence."""
    APOSTROPHE = 6
    """Punctuation that may occur inside a word."""
    SYMBOL = 7
    MARK = 8
    LOST = 9
    """U+FFFD, the replacement character."""
    HAN = 10
    HAN_FUNCTION = 11
    """Han function words, which are frequent in genuine Chinese text."""
    HAN_SIMPLIFIED = 12
    HAN_TRADITIONAL = 13
    KANA = 14
    HANGUL = 15
    LATIN = 16
    LATIN_UPPER = 17
    CYRILLIC = 18
    CYRILLIC_UPPER = 19
    CYRILLIC_NOT_RUSSIAN = 20
    ARABIC = 21
    ARABIC_NOT_ARABIC = 22
    """Letters of Persian and Urdu that do not occur in Arabic."""
    LETTER = 23
    """Letter of another script."""
    LETTER_UPPER = 24


C = CharacterClass
CLASSES = 32
HAN = (C.HAN, C.HAN_FUNCTION, C.HAN_SIMPLIFIED, C.HAN_TRADITIONAL)
LATIN = (C.LATIN, C.LATIN_UPPER)
CYRILLIC = (C.CYRILLIC, C.CYRILLIC_UPPER, C.CYRILLIC_NOT_RUSSIAN)
ARABIC = (C.ARABIC, C.ARABIC_NOT_ARABIC)
UPPER = (C.LATIN_UPPER, C.CYRILLIC_UPPER, C.LETTER_UPPER)
SPACED_LETTERS = (C.HANGUL, *LATIN, *CYRILLIC, *ARABIC, C.LETTER, C.LETTER_UPPER)
"""Letters of scripts with spaces between words."""
LETTERS = (*HAN, C.KANA, *SPACED_LETTERS)
PUNCTUATION = (C.PUNCTUATION, C.SENTENCE_END, C.APOSTROPHE)

_LAST_CLASSIFIED = 0x323B0
"""Code points above are selectors and private use."""

_RANGES = (
    (C.KANA, ((0x3040, 0x30FF), (0x31F0, 0x31FF), (0xFF66, 0xFF9D))),
    (C.HANGUL, ((0x1100, 0x11FF), (0x3130, 0x318F), (0xAC00, 0xD7AF))),
    (C.LATIN, ((0x41, 0x24F), (0x1E00, 0x1EFF), (0xFF21, 0xFF5A))),
    (C.CYRILLIC, ((0x400, 0x52F),)),
    (C.ARABIC, ((0x600, 0x6FF), (0x750, 0x77F), (0x8A0, 0x8FF), (0xFB50, 0xFDFF))),
    (C.ARABIC, ((0xFE70, 0xFEFC),)),
    (C.HAN, ((0x3005, 0x3007), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF))),
    (C.HAN, ((0x20000, 0x323AF),)),
)
_CLASS_OF_CATEGORY = {
    **dict.fromkeys(("Cc", "Cf", "Cs", "Co", "Cn"), C.OTHER),
    **dict.fromkeys(("Ll", "Lt", "Lm", "Lo"), C.LETTER),
    **dict.fromkeys(("Nd", "Nl", "No"), C.DIGIT),
    **dict.fromkeys(("Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po"), C.PUNCTUATION),
    **dict.fromkeys(("Sm", "Sc", "Sk", "So"), C.SYMBOL),
    **dict.fromkeys(("Mn", "Mc", "Me"), C.MARK),
    **dict.fromkeys(("Zs", "Zl", "Zp"), C.SPACE),
    "Lu": C.LETTER_UPPER,
}
"""Initial class by Unicode general category; ranges and single characters refine it."""
_SINGLE = {
    C.SENTENCE_END: ".!?。！？…｡．\u061f\u06d4\u0964",
    C.APOSTROPHE: "'\u2019",
    C.LOST: "\ufffd",
    C.LINE_BREAK: "\n\r\x0b\x0c\x85\u2028\u2029",
    C.SPACE: "\t",
    C.CYRILLIC_NOT_RUSSIAN: "іїєґўјљњћђџѓќѕІЇЄҐЎЈЉЊЋЂЏЃЌЅәғқңөұүһ",
    C.ARABIC_NOT_ARABIC: "پچژگکیےٹڈڑں",
    C.HAN_FUNCTION: "的了是不在有我他这就也和都很要着吗呢吧啊把被让给对从到而且但或與及之其以于",
    C.HAN_SIMPLIFIED: (
        "们个来时说会过学国里还没为发样长见问间电话车东钱买卖书现开关无实门点几业员热应该"
        "总经济头乐观觉两边进远运动产农机种类级约红给网络语读谁请谢认识让论设计试话详课调谈"
        "质费资贵贝质贴赛赞软转轮轻较输载边达迁远连迟选递邮邻郑针钟钢钱铁银错键锁镇长闭闲闻"
        "阳阴阶际陆陈险随隐难页顶项顺须顾预领频题颜风飞饭饮馆驱驾验鱼鸡鸟龙龟"
    ),
    C.HAN_TRADITIONAL: (
        "們個來時說會過學國裡裏還沒為發樣長見問間電話車東錢買賣書現開關無實門點幾業員熱應該"
        "總經濟頭樂觀覺兩邊進遠運動產農機種類級約紅給網絡語讀誰請謝認識讓論設計試話詳課調談"
        "質費資貴貝貼賽讚軟轉輪輕較輸載達遷連遲選遞郵鄰鄭針鐘鋼鐵銀錯鍵鎖鎮閉閒聞這對從於"
        "陽陰階際陸陳險隨隱難頁頂項順須顧預領頻題顏風飛飯飲館驅駕驗魚雞鳥龍龜"
    ),
}


class CodePoints:
    """Concatenated characters of all texts, with a line break after each."""

    def __init__(self, texts: Sequence[str]) -> None:
        joined = "\n".join(texts) + "\n" if texts else ""
        self.codes: NDArray[np.uint32] = np.frombuffer(
            joined.encode("utf-32-le", "surrogatepass"), np.uint32
        )
        self.lengths: NDArray[np.int64] = np.fromiter(map(len, texts), np.int64, len(texts))
        """Length of each text in characters."""
        self.ends: NDArray[np.int64] = np.cumsum(self.lengths + 1) - 1
        """Position of the line break after each text."""
        self.starts: NDArray[np.int64] = self.ends - self.lengths
        self.classes: NDArray[np.uint8] = _class_table()[np.minimum(self.codes, _LAST_CLASSIFIED)]
        self.rows: NDArray[np.int32] = np.repeat(
            np.arange(len(texts), dtype=np.int32), self.lengths + 1
        )
        """Text index of each character."""
        keys = self.rows * CLASSES + self.classes
        self._counts: NDArray[np.int64] = np.bincount(keys, minlength=len(texts) * CLASSES).reshape(
            -1, CLASSES
        )

    def count(self, classes: Iterable[CharacterClass]) -> NDArray[np.int64]:
        """Characters of these classes per text, including the final line break."""
        total: NDArray[np.int64] = self._counts[:, list(classes)].sum(axis=1)
        return total

    def marked(self, classes: Iterable[CharacterClass]) -> NDArray[np.bool_]:
        """Mask of the characters of these classes."""
        table = np.zeros(CLASSES, np.bool_)
        table[list(classes)] = True
        return table[self.classes]

    def lines(self) -> NDArray[np.int64]:
        """Lines per text."""
        return self.count((C.LINE_BREAK,))

    def per_text(self, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Masked characters per text."""
        return np.bincount(self.rows[mask], minlength=len(self.lengths))

    def per_text_at(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Number of given positions per text."""
        return np.bincount(self.rows[places], minlength=len(self.lengths))

    def in_words(self) -> NDArray[np.bool_]:
        """Mask of characters in space-separated words; "don't" is one word."""
        inside = self.marked((*SPACED_LETTERS, C.DIGIT, C.MARK))
        apostrophes = np.flatnonzero(self.classes == C.APOSTROPHE)
        if len(apostrophes):
            # Safe, because the last character is always a line break.
            joins = inside[apostrophes + 1] & inside[np.maximum(apostrophes - 1, 0)]
            inside[apostrophes[joins]] = True
        return inside

    def word_starts(self) -> NDArray[np.bool_]:
        """Mask of first characters of space-separated words."""
        inside = self.in_words()
        starts = inside.copy()
        starts[1:] &= ~inside[:-1]
        return starts


@cache
def _class_table() -> NDArray[np.uint8]:
    """Class of every code point; computed on first use, in about 20 ms."""
    table = np.zeros(_LAST_CLASSIFIED + 1, np.uint8)
    # Avoids a Python call per code point, because every worker computes the table.
    categories = map(unicodedata.category, map(chr, range(_LAST_CLASSIFIED)))
    classes = map(_CLASS_OF_CATEGORY.__getitem__, categories)
    table[:_LAST_CLASSIFIED] = np.fromiter(classes, np.uint8, _LAST_CLASSIFIED)
    letters = np.isin(table, (C.LETTER, C.LETTER_UPPER))
    upper = table == C.LETTER_UPPER
    for name, ranges in _RANGES:
        for first, last in ranges:
            table[first : last + 1][letters[first : last + 1]] = name
    table[upper & (table == C.LATIN)] = C.LATIN_UPPER
    table[upper & (table == C.CYRILLIC)] = C.CYRILLIC_UPPER
    both = set(_SINGLE[C.HAN_SIMPLIFIED]) & set(_SINGLE[C.HAN_TRADITIONAL])
    for name, characters in _SINGLE.items():
        for character in characters:
            if character not in both:
                table[ord(character)] = name
    return table
