"""The triton engine on a real Triton server: `make triton-test`."""
