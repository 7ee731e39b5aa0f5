"""Work that other services do for a tenant: ordered, watched, steered, shown, deleted."""
