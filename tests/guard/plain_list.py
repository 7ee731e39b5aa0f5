"""What most filters are: a word list and patterns, searched for in the NFKC form of a text."""

import re
import unicodedata

from modelmill_guard.policy import Policy


class PlainList:
    """Rules of a policy, by Python's `re`; English words whole unless the rule says otherwise."""

    def __init__(self, policy: Policy) -> None:
        self._rules = {
            rule.id: re.compile(
                rule.pattern
                if rule.pattern is not None
                else "|".join(_phrase(word, within=rule.within_words) for word in rule.keywords)
            )
            for rule in policy.rules
        }

    def found(self, text: str) -> set[str]:
        """Rules that match somewhere."""
        plain = unicodedata.normalize("NFKC", text).casefold()
        return {rule_id for rule_id, pattern in self._rules.items() if pattern.search(plain)}


def _phrase(keyword: str, *, within: bool) -> str:
    plain = unicodedata.normalize("NFKC", keyword).casefold()
    written = re.escape(plain)
    return written if within or not plain.isascii() else rf"\b{written}\b"
