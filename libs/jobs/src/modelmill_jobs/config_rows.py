"""The part of the table in `modelmill_jobs.subjects` that says how things are set up.

What grows by itself has a stream of its own, with a limit of its own: one that is full takes no
room from the others. Of a subject as many messages are kept as anybody reads.
"""

from modelmill.gateway.v1.gateway_events_pb2 import BudgetState, EvalState, KeyState
from modelmill.moderation.v1.moderation_events_pb2 import PolicyState
from modelmill.registry.v1.model_events_pb2 import AliasState

from modelmill_jobs.rows import MIB, Row, Stream
from modelmill_jobs.webhook_rows import GATEWAY, READERS, WEBHOOK_STATE

POLICY_VERSIONS = 50
"""Of one owner: the oldest goes when another comes. A version has at most 900 kB."""

CONFIG_STREAMS = (
    Stream(
        "CONFIG",
        (
            Row(
                "alias.state.{tenant}.{name}",
                AliasState,
                GATEWAY,
                ("gateway", "trainer", "inference", "cli"),
            ),
            WEBHOOK_STATE,
        ),
        max_bytes=64 * MIB,
    ),
    Stream(
        "POLICIES",
        (
            Row(
                "policy.state.{tenant}",
                PolicyState,
                ("moderation",),
                ("moderation", "gateway", "cli"),
            ),
        ),
        max_bytes=512 * MIB,
        max_per_subject=POLICY_VERSIONS,
    ),
    Stream(
        # One record of a key, so that in a full stream one can still be revoked: its record
        # becomes shorter, and takes the place of the one before.
        "KEYS",
        (Row("key.state.{key_id}", KeyState, GATEWAY, READERS),),
        max_bytes=64 * MIB,
        max_per_subject=1,
        forgets=True,
    ),
    Stream(
        "EVALS",
        (Row("eval.state.{eval_id}", EvalState, GATEWAY, READERS),),
        max_bytes=128 * MIB,
        max_per_subject=1,
        forgets=True,
    ),
    Stream(
        # Every replica writes to every budget in use some times a minute; only the last counts.
        "BUDGETS",
        (Row("budget.state.{budget_id}", BudgetState, GATEWAY, READERS),),
        max_bytes=256 * MIB,
        max_per_subject=4,
    ),
)
