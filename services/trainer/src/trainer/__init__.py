"""Training and evaluation jobs."""
