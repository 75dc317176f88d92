"""Variants of GLPFT trained, exported, measured, and laid side by side in docs/results.md."""
