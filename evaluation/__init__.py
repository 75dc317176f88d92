"""Measure role models: generate, score and compare as separate steps over files."""
