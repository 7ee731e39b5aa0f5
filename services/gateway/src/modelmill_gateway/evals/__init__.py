"""Graders of answers, and runs that sample rows and grade them."""
