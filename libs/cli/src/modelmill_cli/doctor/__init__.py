"""Checks of an installation: each has an id, what it found, and what to do about it."""
