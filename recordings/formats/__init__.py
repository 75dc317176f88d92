"""Readers of recorded trajectories: one module for each data format. `source.read_source` selects one by name."""
