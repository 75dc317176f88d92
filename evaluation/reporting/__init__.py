"""The report: step runs, trajectory runs, trainings and verdicts, as sections of a page."""
