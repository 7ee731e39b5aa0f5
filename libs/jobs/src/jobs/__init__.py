"""The job protocol over NATS JetStream.

Import the module you need: nothing is imported here, so that `jobs.child` stays light.
"""
