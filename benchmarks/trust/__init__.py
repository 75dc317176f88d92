"""Faults, load and attacks against a real orchestrator process: one table of figures and goals (`make trust`)."""
