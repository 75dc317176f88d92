"""Role models measured on every suite, constrained and free: runs in a folder, tables in docs/results.md."""
