"""Tenants, as operators manage them."""
