"""Backup and restore of a state folder."""
