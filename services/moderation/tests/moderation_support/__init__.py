"""What the tests of moderation share."""
