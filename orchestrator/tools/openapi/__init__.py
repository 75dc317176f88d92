"""Tools from OpenAPI documents: parse a document into operations, and call an operation over HTTP."""
