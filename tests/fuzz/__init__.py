"""Mutated files against everything that reads what strangers upload."""
