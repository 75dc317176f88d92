"""What several tests stand on: builders, scripted parts, processes."""
