"""Generates teacher answers in a child process that does not import torch."""
