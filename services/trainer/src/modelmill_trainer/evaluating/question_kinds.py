"""What can be asked of a model; both sides of the pipe know it."""

SCORE, WRITE = "score", "write"
