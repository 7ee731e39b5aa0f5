"""Rows out of files: blocks of raw rows made in one place, parsed wherever there is a core."""
