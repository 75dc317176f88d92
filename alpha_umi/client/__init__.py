"""REST clients of the orchestrator and of the role services, for Python programs.

`orchestrator` has the asynchronous client of the orchestrator, `sync` the same for programs without an event loop,
`roles` the client of the role services. All retry by a policy (`retry`) and raise the errors of `errors`.
"""
