"""A real throwaway NATS server, tiny models and builders; imported by tests only."""
