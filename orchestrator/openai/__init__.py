"""OpenAI's interfaces as views of trajectories."""
