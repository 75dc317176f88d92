"""Clients of the role services: replicas, circuit breakers, and retries with one budget."""
