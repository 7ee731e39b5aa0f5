"""Kinds of model requests, shared by parent and child process."""

SCORE, WRITE = "score", "write"
