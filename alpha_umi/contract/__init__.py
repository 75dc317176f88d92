"""What crosses the wire: models of requests and answers, problem documents, the checks of tool schemas."""
