"""The kinds of question, by the tools that they need."""
