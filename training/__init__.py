"""GLPFT: from recorded trajectories to role examples, to two stages of fine-tuning, to role models."""
