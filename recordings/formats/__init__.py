"""Recorded trajectories in the formats of public data sets, one module a format, read into the library's turns.

Formats that suites are made of are read by the suites' own readers; `reading.read_source` knows them all.
"""
