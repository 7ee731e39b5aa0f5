"""Disguises of the default policy's phrases, by an author who has not read the guard's folding.

Nothing here imports `guard` but `measure.py`, which asks for verdicts. Keep it so: a generator that
knows how the guard folds text measures its memory, not its reach.
"""
