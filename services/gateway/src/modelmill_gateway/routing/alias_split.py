"""What an alias of the bus is shared out among."""

from google.protobuf.json_format import MessageToDict
from modelmill.registry.v1.model_events_pb2 import AliasState

from modelmill_gateway.domain.split import Split, split_of


def alias_split(alias: AliasState) -> Split | None:
    """Its variants; None when it has none."""
    return split_of(MessageToDict(alias.options)) if alias.options.fields else None
