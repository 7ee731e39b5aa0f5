"""Forty hostile models beside the chats of others; see `__main__`."""
