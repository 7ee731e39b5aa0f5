"""Texts in which harmless stand-in words are disguised, and the policy that forbids those words.

`corpus.jsonl` is what `make.py` makes; `rows.py` reads it.
"""
