"""A call of an offered tool: its grammar, its validation, and the tools under the names that prompts show."""
