"""Who reads the free-form part of a message does not change it."""

from google.protobuf.struct_pb2 import Struct
from modelmill_bus.envelope import text_of


def test_a_key_that_is_looked_up_is_not_added():
    struct = Struct()
    struct["kind"] = "cascade"

    assert text_of(struct, "kind") == "cascade"
    assert text_of(struct, "missing") == ""
    assert list(struct.fields) == ["kind"]
