"""Exact duplicates: conversations whose comparison keys are equal, wherever they stand."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from data_prep.domain.rows import Conversation
from data_prep.domain.text_form import comparison_key

CLUSTERS_KEPT = 100
LINES_KEPT_PER_CLUSTER = 100
_DIGEST_BYTES = 16


@dataclass
class Cluster:
    """Rows that say the same."""

    kept: int
    """Line of the first of them."""

    dropped: list[int] = field(default_factory=list)
    """Lines of the others, `LINES_KEPT_PER_CLUSTER` at most."""

    dropped_count: int = 0


class DuplicateFilter:
    """Keeps the first of equal conversations; remembers 16 bytes of each that it kept."""

    def __init__(self) -> None:
        self.dropped_count = 0
        self.clusters: dict[int, Cluster] = {}
        """The first `CLUSTERS_KEPT` clusters, by the line that was kept."""
        self._line_of: dict[bytes, int] = {}

    def drop(self, conversations: Sequence[Conversation]) -> list[Conversation]:
        """Those of the batch that were not seen before, in their order."""
        return [one for one in conversations if not self._seen(one)]

    def _seen(self, conversation: Conversation) -> bool:
        first = self._line_of.setdefault(_digest(conversation), conversation.line)
        if first == conversation.line:
            return False
        self.dropped_count += 1
        if first not in self.clusters and len(self.clusters) < CLUSTERS_KEPT:
            self.clusters[first] = Cluster(first)
        if cluster := self.clusters.get(first):
            cluster.dropped_count += 1
            if len(cluster.dropped) < LINES_KEPT_PER_CLUSTER:
                cluster.dropped.append(conversation.line)
        return True


def _digest(conversation: Conversation) -> bytes:
    # The separators are control characters, which no normalised text has.
    whole = "\x1e".join(
        f"{turn.role}\x1f{comparison_key(turn.content)}" for turn in conversation.turns
    )
    return hashlib.sha256(whole.encode()).digest()[:_DIGEST_BYTES]
