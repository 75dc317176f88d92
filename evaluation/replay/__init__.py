"""Tools for whole trajectories without the internet: recorded answers, and a calculator, behind real HTTP.

Each server has an OpenAPI document, so that an orchestrator takes it as any other tool source.
"""
