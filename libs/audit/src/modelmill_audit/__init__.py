"""Verdicts on texts, counted and recorded."""
