"""Command line of the system."""
