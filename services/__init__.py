"""The role services: each hosts one role model over HTTP. They import neither each other nor the orchestrator."""
