"""What models are measured on: suites, each a small file that says how its data is read, where it lies and whose it is.

Data that is not in the tree is read from a folder of the user's (`data`). `suite.load_suite` is the way in.
"""
