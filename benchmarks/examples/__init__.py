"""The example questions asked of a whole system: answers in a folder, a section in docs/results.md."""
