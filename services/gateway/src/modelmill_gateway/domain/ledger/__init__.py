"""What callers may use: limits, leases of them, and what is settled. No clock, no bus."""
