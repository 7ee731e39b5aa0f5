"""Readers of one format each. They run in the child process alone."""
