"""Host a role model over HTTP: the engine port and its adapters, prompts to tokens, readiness, cancellation."""
