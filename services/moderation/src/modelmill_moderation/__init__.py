"""Moderation service: applies policies of rules and judges to whole or streamed texts."""
