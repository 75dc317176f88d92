"""A language model rates trajectories, by the published procedures of ToolBench and ToolAlpaca."""
