"""Tool servers for trajectories without the internet: recorded answers, a calculator, and a Python sandbox.

Each server has an OpenAPI document, so that an orchestrator can register it as a tool source.
"""
