"""Verdicts on calls for BFCL's questions by the checker of its own package, which has an environment of its own.

The package wants other versions than this project, so `checker_program` runs there, as a process that reads and writes
JSON lines; nothing here imports the package. `verdicts` is the way in.
"""
