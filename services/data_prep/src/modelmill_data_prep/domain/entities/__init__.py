"""Personal data (PII): detection in texts, masking, pseudonymisation and dropping."""
