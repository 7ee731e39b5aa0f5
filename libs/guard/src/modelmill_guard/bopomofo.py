"""Pinyin syllables in Bopomofo, the letters that Taiwan spells them with; without tones."""

_INITIALS = {
    **dict(zip("bpmfdtnlgkhjqxrzcs", "ㄅㄆㄇㄈㄉㄊㄋㄌㄍㄎㄏㄐㄑㄒㄖㄗㄘㄙ", strict=True)),
    **dict(zip(("zh", "ch", "sh"), "ㄓㄔㄕ", strict=True)),
}
_ALONE = frozenset(("zhi", "chi", "shi", "ri", "zi", "ci", "si"))
_FINALS = {
    **dict(zip(("a", "o", "e", "ai", "ei", "ao", "ou"), "ㄚㄛㄜㄞㄟㄠㄡ", strict=True)),
    **dict(zip(("an", "en", "ang", "eng", "er"), "ㄢㄣㄤㄥㄦ", strict=True)),
    **{"i": "ㄧ", "ia": "ㄧㄚ", "ie": "ㄧㄝ", "iao": "ㄧㄠ", "iu": "ㄧㄡ", "ian": "ㄧㄢ"},
    **{"in": "ㄧㄣ", "iang": "ㄧㄤ", "ing": "ㄧㄥ", "iong": "ㄩㄥ", "u": "ㄨ", "ua": "ㄨㄚ"},
    **{"uo": "ㄨㄛ", "uai": "ㄨㄞ", "ui": "ㄨㄟ", "uan": "ㄨㄢ", "un": "ㄨㄣ", "uang": "ㄨㄤ"},
    **{"ong": "ㄨㄥ", "v": "ㄩ", "ve": "ㄩㄝ", "van": "ㄩㄢ", "vn": "ㄩㄣ"},
}
_WHOLE = {
    **{"yi": "i", "yin": "in", "ying": "ing", "you": "iu", "yong": "iong", "yu": "v"},
    **{"yue": "ve", "yuan": "van", "yun": "vn", "wu": "u", "wei": "ui", "wen": "un", "weng": "ong"},
}
"""What is written with y or w for the lack of an initial."""


def bopomofo(syllable: str) -> str | None:
    """The syllable's letters; None where it has none."""
    if syllable in _ALONE:
        return _INITIALS[syllable[:-1]]
    final = _WHOLE.get(syllable)
    if final is None and syllable[:1] in ("y", "w"):
        final = ("i" if syllable[0] == "y" else "u") + syllable[1:]
    if final is not None:
        return _FINALS.get(final)
    initial = syllable[:2] if syllable[:2] in _INITIALS else syllable[:1]
    if initial not in _INITIALS:
        return _FINALS.get(syllable)
    final = syllable[len(initial) :]
    if initial in ("j", "q", "x") and final.startswith("u"):
        final = "v" + final[1:]
    letters = _FINALS.get(final.replace("ue", "ve") if initial in ("n", "l") else final)
    return None if letters is None else _INITIALS[initial] + letters
