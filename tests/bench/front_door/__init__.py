"""`make bench-gateway`: the front door beside LiteLLM, before one upstream for both."""
