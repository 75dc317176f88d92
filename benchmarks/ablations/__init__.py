"""Does splitting help, and where: runs that exist laid beside those without one part, in docs/results.md."""
