"""What moderation promises, for a corpus of disguised words and for each API method."""
