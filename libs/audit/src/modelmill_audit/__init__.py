"""Audit trail of verdicts on texts."""
