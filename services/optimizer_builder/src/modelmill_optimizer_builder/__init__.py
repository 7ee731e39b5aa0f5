"""Smaller, faster forms of a model, and the proof that they are still good."""
