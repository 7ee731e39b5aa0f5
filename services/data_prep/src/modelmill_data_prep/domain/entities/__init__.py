"""What tells who somebody is: finding it in texts, and what is done about it."""
