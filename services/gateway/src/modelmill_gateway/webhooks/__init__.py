"""Endpoints of tenants that are told of events."""
