"""Experiments between versions: evidence that may be looked at after every answer, and decisions.

Pure functions and state, without clocks and without a bus: the same units in the same order give
the same decisions, bit for bit.
"""
