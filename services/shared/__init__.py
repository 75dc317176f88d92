"""Planner, caller and summarizer in one process, on one engine with an adapter for each."""
