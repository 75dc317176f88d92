"""The planner service: a rationale in free words, then one of three decisions."""
