"""Broken inputs against everything that reads what strangers send to data-prep."""
