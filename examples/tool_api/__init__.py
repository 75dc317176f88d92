"""A tool API server that works offline, with data from maintained libraries. It is independent of α-UMi."""
