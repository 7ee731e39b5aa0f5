"""Token ids of rows for a base model, so that training starts at once."""
