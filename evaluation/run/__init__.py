"""Put the steps and the instructions of a suite to models: to role services, and to an orchestrator."""
