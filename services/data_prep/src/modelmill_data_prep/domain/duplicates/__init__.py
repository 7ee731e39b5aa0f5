"""What can be decided only where all rows are known: which say the same, and what goes where.

Workers write small keys for each row (`row_keys`, `signatures`); one place gathers them on disk,
divided by their leading bits, and decides one division at a time. So the memory taken does not
grow with the number of rows; the disk does. Rows are named by their ordinal, their place among
all rows that came out of the first pass, and every decision is an array by ordinal on disk. No
decision depends on the order in which keys arrive or on how rows were batched.
"""
