"""The public API: HTTP (OpenAI-compatible) and gRPC; identity, routing, guarded streaming."""
