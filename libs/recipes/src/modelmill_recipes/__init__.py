"""Recipes: one typed file from rows to a served model."""
