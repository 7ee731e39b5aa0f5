"""The HTTP server: the middleware, and for each group of routes who unpacks, calls and packs."""
