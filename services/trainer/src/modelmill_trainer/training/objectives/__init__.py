"""What can be made smaller."""
