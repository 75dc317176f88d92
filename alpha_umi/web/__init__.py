"""Shared by every HTTP service: problem documents, request ids, bearer keys, binding, metrics."""
