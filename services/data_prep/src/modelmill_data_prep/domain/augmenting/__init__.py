"""Data augmentation of the train split by rephrasing user messages.

Answers are never changed. An augmented row keeps the line and source of its original row, and
`made_by` names the method.
"""
