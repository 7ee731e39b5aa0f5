"""What the tests of the registry share."""
