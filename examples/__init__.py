"""Examples: a tool API that answers truthfully offline, and questions for it."""
