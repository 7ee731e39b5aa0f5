"""Usage names the tokens that were drafted, and says nothing where none were."""

from hypothesis import given
from hypothesis import strategies as st
from modelmill_gateway.domain.chat import End, Usage
from modelmill_gateway.entrypoints.schemas.texts import usage_of
from modelmill_gateway.guarding.filtered_answers import usage_of_answers

USAGES = st.builds(Usage, st.just(7), st.integers(0, 100), st.integers(0, 100))


@given(st.lists(USAGES, min_size=1, max_size=4))
def test_drafted_tokens_of_several_answers_are_added(usages: list[Usage]) -> None:
    drafted = sum(usage.accepted_prediction_tokens for usage in usages)
    ends = [End("stop", usage) for usage in usages]
    told, together = usage_of(ends), usage_of_answers(ends)

    assert told is not None
    assert together is not None
    details = told.get("completion_tokens_details")
    assert details == ({"accepted_prediction_tokens": drafted} if drafted else None)
    assert together.accepted_prediction_tokens == drafted
