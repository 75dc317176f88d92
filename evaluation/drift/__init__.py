"""Drift: metrics of each role over time in served trajectories, compared with a reference.

`served` reads exports, `figures` defines the metrics of a role, `windows` groups trajectories by time and compares each
window with a reference, `report` and `page` render the result.
"""
