"""The training loop of one stage, resumable at any step."""
