"""The three roles and the single-model backbone: the prompt of each, and the parser of its text.

Standard library only, so that training, serving and evaluation render and parse with the same code.
"""
