"""The official metrics of single suites: the checker of BFCL, and the scores of Seal-Tools."""
