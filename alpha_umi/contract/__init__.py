"""Wire models of requests and responses, problem documents, stream events, and the validation of tool schemas."""
