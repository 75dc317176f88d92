"""Tools: OpenAPI documents become tools, and every call leaves through one guarded way out."""
