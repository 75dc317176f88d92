"""Recipes: the stages of a variant (`training/variants`), and the numbers of a backbone (`training/configs`)."""
