"""A tool API server that answers truthfully offline, from well-kept libraries. Nothing of α-UMi is in it."""
