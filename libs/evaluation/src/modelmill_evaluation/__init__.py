"""Scoring by log-likelihood and honest intervals, whatever engine computes the numbers."""
