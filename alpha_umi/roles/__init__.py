"""The three roles and the single-model backbone: what each is shown and how its text is read.

Standard library only, so that training, serving and evaluation render and parse with the same code.
"""
