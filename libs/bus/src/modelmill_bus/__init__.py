"""The message bus: NATS JetStream subjects, streams, publish, follow and consume."""
