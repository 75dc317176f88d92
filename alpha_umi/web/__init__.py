"""What every HTTP service of the system shares: problem documents, request ids, bearer keys, binding, metrics."""
