"""Evaluation suites. A suite is a file with its loader, the path of its data, its licence and its source.

The data is read from a folder of the user's (`definition.data_folder`). `suite.load_suite` loads a suite.
"""
