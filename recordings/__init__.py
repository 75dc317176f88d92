"""Recorded trajectories in several data formats, evaluation suites, and contamination between data sets."""
