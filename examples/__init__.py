"""Examples: a tool API that works offline, and questions for it."""
