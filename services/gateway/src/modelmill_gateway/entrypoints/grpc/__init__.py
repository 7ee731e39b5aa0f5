"""modelmill.gateway.v1 over gRPC: unpack, call the use case that HTTP calls too, pack."""
