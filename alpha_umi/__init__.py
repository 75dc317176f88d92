"""The library of the α-UMi agent server: trajectory machine, roles, wire contract and model serving."""
