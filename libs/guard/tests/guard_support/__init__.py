"""What tests of the guard share."""
