"""The trajectory service: drives trajectories over HTTP and keeps their log."""
