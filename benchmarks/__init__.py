"""What the services cost. Each program prints one table; `docs/benchmarks.md` holds the figures and what they mean."""
