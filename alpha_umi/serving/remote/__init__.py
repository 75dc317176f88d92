"""Engines behind an OpenAI-compatible server: over its completions, or over its chat completions."""
