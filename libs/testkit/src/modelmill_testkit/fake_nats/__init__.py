"""JetStream in memory, as nats-py shows it: deterministic, and with every fault on request."""
