"""Rows made from rows of the train split: the user says the same in other words.

Only what the user says is changed, never the answer. A new row keeps the line and the source of
the row that it was made from, and says what made it.
"""
