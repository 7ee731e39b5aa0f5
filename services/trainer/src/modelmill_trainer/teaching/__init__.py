"""A teacher's answers as rows to learn from; the work process needs no torch."""
