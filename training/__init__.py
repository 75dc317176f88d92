"""GLPFT: recorded trajectories become role examples, which train role models in two stages."""
