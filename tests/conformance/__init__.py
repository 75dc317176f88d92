"""Foreign suites and clients against the standard interfaces (`make conformance`)."""
