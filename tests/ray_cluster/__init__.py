"""Datasets made by a real Ray cluster of two nodes: `make ray-test`."""
