"""Curriculum learning: difficulty of rows, and the order in which they are trained on."""
