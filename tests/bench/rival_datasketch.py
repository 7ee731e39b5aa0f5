"""The rival of dedup.datasketch: its MinHashLSH, with the bands that it chooses by itself.

`python rival_datasketch.py TEXTS RESULT THRESHOLD`, by the Python of build/datatrove. TEXTS is a
JSON list of texts; RESULT becomes {"seconds", "leaders"}, of each text the first one of those it is
joined with. Timed from texts to leaders: fold, shingle, sign in bulk, query and insert one by one,
join what a query finds. Texts are folded and cut into shingles as ours are. Its documentation
recommends another hash than its SHA-1 for speed: xxhash.
"""

import json
import sys
import time
import unicodedata
from pathlib import Path

PERMUTATIONS = 128
SHINGLE_CHARACTERS = 5
WIDE_SHINGLE_CHARACTERS = 3
FIRST_WIDE = "\u2e80"
"""From here on a character is an ideograph, a kana or a syllable, and says more than a letter."""


def shingles(text: str) -> set[str]:
    """Runs of characters of a folded text, shorter where they begin wide; of a short one itself."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    folded = " ".join(folded.split())
    runs = set()
    for place, first in enumerate(folded):
        end = place + (WIDE_SHINGLE_CHARACTERS if first >= FIRST_WIDE else SHINGLE_CHARACTERS)
        if end <= len(folded):
            runs.add(folded[place:end])
    return runs or {folded}


def leaders_of(texts: list[str], threshold: float) -> list[int]:
    """Of each text the place of the first one that it is joined with, by whatever chain."""
    from datasketch import MinHash, MinHashLSH
    from xxhash import xxh32_intdigest

    index = MinHashLSH(threshold=threshold, num_perm=PERMUTATIONS)
    sets = ([one.encode() for one in shingles(text)] for text in texts)
    leaders = list(range(len(texts)))

    def leader(place: int) -> int:
        while leaders[place] != place:
            leaders[place] = leaders[leaders[place]]
            place = leaders[place]
        return place

    signatures = MinHash.generator(sets, num_perm=PERMUTATIONS, hashfunc=xxh32_intdigest)
    for place, signature in enumerate(signatures):
        for other in index.query(signature):
            one, two = sorted((leader(other), leader(place)))
            leaders[two] = one
        index.insert(place, signature, check_duplication=False)
    return [leader(place) for place in range(len(texts))]


def main() -> None:
    """Read, find, write."""
    texts = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    leaders_of(texts[:10], float(sys.argv[3]))  # imports
    started = time.perf_counter()
    leaders = leaders_of(texts, float(sys.argv[3]))
    seconds = time.perf_counter() - started
    Path(sys.argv[2]).write_text(json.dumps({"seconds": seconds, "leaders": leaders}))


if __name__ == "__main__":
    main()
