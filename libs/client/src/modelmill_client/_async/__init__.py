"""The client's calls."""
