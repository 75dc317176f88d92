"""The role services: each serves one role model over HTTP; `shared` serves three on one engine.

They do not import the orchestrator; only `shared` imports other services.
"""
