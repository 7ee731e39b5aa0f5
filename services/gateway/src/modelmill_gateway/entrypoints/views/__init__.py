"""What callers are shown, in the words of the clients that they use."""
