"""Streams of events: broadcast inside the process, and server-sent events."""
