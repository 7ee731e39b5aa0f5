"""Who asks: keys of ours, issuers of tokens, and the record of who changed what."""
