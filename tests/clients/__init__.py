"""Unmodified clients of others against a live gateway: which of their calls work."""
