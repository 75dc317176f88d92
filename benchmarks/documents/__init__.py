"""Reads OpenAPI documents and predicts requests by the specification alone; the product is compared with it."""
