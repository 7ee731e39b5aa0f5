"""Engines that generate tokens from built models."""
