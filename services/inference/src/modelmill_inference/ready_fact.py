"""What is told of a version once it answers."""

from modelmill.registry.v1.model_events_pb2 import ModelServing, ServingAbilities, ServingState

from modelmill_inference.load_version import LoadedVersion


def ready_fact(loaded: LoadedVersion) -> ModelServing:
    """That it is loaded, and what its engine and its chat template can do."""
    able, tokenizer = loaded.engine.abilities, loaded.tokenizer
    return ModelServing(
        version_id=loaded.version_id,
        engine=loaded.engine_name,
        state=ServingState.SERVING_STATE_READY,
        load_seconds=loaded.load_seconds,
        abilities=ServingAbilities(
            top_logprobs=able.logprobs,
            grammar=able.grammar,
            score=able.score,
            embed=able.embed,
            tools=tokenizer.knows_tools and tokenizer.tool_format is not None,
            exact=able.exact,
        ),
    )
