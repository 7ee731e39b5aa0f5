"""What may be asked and said: judges of inputs, the guard on a stream, tenants' policies."""
