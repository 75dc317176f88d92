"""The single model that plans, calls and answers: the paper's baseline."""
