"""Tokenizes rows for a base model, so that training needs no tokenization."""
