"""Requests to models that write rows or judge answers: served, or at an endpoint of others."""
