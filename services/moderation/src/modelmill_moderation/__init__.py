"""Policies and the verdict on a text, whole or streamed."""
