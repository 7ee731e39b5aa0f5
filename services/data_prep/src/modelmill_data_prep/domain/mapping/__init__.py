"""Source rows to conversations, by what the caller says about the file's columns."""
