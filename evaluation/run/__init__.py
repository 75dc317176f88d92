"""Run suites: steps with role services, and instructions with an orchestrator."""
