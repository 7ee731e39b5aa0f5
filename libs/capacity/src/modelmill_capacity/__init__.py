"""Capacity planning: a simulation of gateway, queues and engines, fed by measurements."""
