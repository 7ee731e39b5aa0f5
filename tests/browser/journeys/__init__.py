"""Whole ways of people through the console; `listed.py` has all, in either language."""
