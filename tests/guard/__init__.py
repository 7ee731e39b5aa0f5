"""What moderation promises, held over a corpus of disguised words and over every door."""
