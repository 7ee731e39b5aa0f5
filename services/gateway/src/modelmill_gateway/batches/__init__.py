"""Files of requests, answered in the background."""
