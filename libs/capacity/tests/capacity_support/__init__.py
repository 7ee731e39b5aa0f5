"""Engines and lengths of which theory knows the answer."""
