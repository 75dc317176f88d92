"""A language model judges whole trajectories, by the published procedures of ToolBench and ToolAlpaca."""
