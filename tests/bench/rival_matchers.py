"""The rivals of guard.mbs: `python rival_matchers.py SIDE QUESTION RESULT`, by build/matchers.

QUESTION is JSON: {"english", "chinese", "patterns", "text"}. RESULT becomes
{"seconds", "found"}: of one pass over a text, after everything was compiled and warmed up. Sides:
re: Python's own, all keywords one alternation, on the normalised text, which it is given.
ac: pyahocorasick and google-re2's set, on the NFKC form of the text, which it makes; a keyword of
English counts where it is a whole word.
hyperscan: every rule in one database, on the bytes of the normalised text, which it is given.
"""

import json
import re
import sys
import time
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

Question = dict[str, Any]
Search = Callable[[], int]


def by_re(asked: Question) -> Search:
    """Matches of three alternations."""
    english = "|".join(map(re.escape, asked["english"]))
    chinese = "|".join(map(re.escape, asked["chinese"]))
    rules = [
        re.compile(rf"\b(?:{english})\b"),
        re.compile(chinese),
        re.compile("|".join(asked["patterns"])),
    ]
    text = asked["text"]
    return lambda: sum(1 for rule in rules for _ in rule.finditer(text))


def by_ac(asked: Question) -> Search:
    """An automaton, and one set of patterns over the whole text."""
    import ahocorasick
    import re2

    automaton = ahocorasick.Automaton()
    for keyword in asked["english"]:
        automaton.add_word(keyword, (len(keyword), True))
    for keyword in asked["chinese"]:
        automaton.add_word(keyword, (len(keyword), False))
    automaton.make_automaton()
    patterns = re2.compile("|".join(asked["patterns"]))

    def search() -> int:
        text = unicodedata.normalize("NFKC", asked["text"]).casefold()
        found = sum(1 for _ in patterns.finditer(text))
        for last, (length, whole) in automaton.iter(text):
            start = last + 1 - length
            around = text[start - 1 : start] + text[last + 1 : last + 2]
            found += not (whole and any(one.isalnum() or one == "_" for one in around))
        return found

    return search


def by_hyperscan(asked: Question) -> Search:
    """One block database."""
    import hyperscan

    expressions = [
        *(rf"\b{re.escape(keyword)}\b" for keyword in asked["english"]),
        *map(re.escape, asked["chinese"]),
        *asked["patterns"],
    ]
    # Python escapes spaces, which PCRE does not mind.
    encoded = [one.encode() for one in expressions]
    flags = hyperscan.HS_FLAG_UTF8 | hyperscan.HS_FLAG_CASELESS
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(
        expressions=encoded,
        ids=list(range(len(encoded))),
        elements=len(encoded),
        flags=[flags] * len(encoded),
    )
    content = asked["text"].encode()

    def search() -> int:
        found: set[tuple[int, int]] = set()

        def on_match(number: int, start: int, end: int, flags: int, context: object) -> None:
            found.add((number, end))

        database.scan(content, match_event_handler=on_match)
        return len(found)

    return search


SIDES = {"re": by_re, "ac": by_ac, "hyperscan": by_hyperscan}


def main() -> None:
    """Read, compile, search."""
    asked = json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    search = SIDES[sys.argv[1]](asked)
    search()
    began = time.perf_counter()
    found = search()
    seconds = time.perf_counter() - began
    Path(sys.argv[3]).write_text(json.dumps({"seconds": seconds, "found": found}))


if __name__ == "__main__":
    main()
