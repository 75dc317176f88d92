"""Trajectories that this process drives: their tasks, effects, and what clients add to them."""
