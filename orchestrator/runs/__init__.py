"""Drives trajectories: tasks, effects, and the input of clients (tool outputs, messages)."""
