"""A call of an offered tool: its grammar, the check of what was written, and the tools as a model knows them."""
