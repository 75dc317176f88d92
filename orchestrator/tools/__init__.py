"""Tools: sources are loaded by kind, tools are called by name, and every request goes through one guarded client."""
