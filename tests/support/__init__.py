"""Shared by several tests: builders, scripted services, processes."""
