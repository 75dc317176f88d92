"""The training loop: one stage from a model and tokenized examples to a model, resumable at any step."""
