"""Planner, caller and summarizer in one process, on one engine with one adapter per role."""
