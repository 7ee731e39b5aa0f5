"""What callers may send, as typed bodies that say everything that is wrong at once."""
