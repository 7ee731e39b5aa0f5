"""The job protocol over NATS JetStream."""
