"""Live traffic over time: what served trajectories say about each role, and which role is going wrong.

`served` reads exports, `figures` says what is counted of a role, `windows` lays time over it and holds each window to a
reference, `report` and `page` show it.
"""
