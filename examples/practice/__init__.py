"""Practice data for role models: questions about the example tools, answered by real calls."""
