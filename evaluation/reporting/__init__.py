"""The report of runs: files of steps and of whole trajectories, trainings and verdicts, as sections of a page."""
