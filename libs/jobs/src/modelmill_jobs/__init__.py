"""The job protocol over NATS JetStream: subjects, submit, claim, work, commit, follow."""
