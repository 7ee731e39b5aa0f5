"""`make bench-gateway`: the gateway beside LiteLLM, before one upstream for both."""
