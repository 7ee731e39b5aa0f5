"""What tests of the commands share."""
