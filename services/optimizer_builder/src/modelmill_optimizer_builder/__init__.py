"""Optimizer-builder: converts models to smaller, faster forms and verifies their quality."""
