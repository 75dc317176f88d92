"""Admission: what is accepted, in which order it runs, and how much runs at a time."""
