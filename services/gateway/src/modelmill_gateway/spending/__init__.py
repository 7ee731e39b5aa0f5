"""What callers may use and what they used: leases of budgets, prices, usage."""
