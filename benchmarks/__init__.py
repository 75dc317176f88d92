"""Benchmarks of the services. Each program prints one table; `docs/benchmarks.md` explains the figures."""
