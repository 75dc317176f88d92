"""The role services as the orchestrator uses them: replicas, circuit breakers, retries with one budget."""
