"""The API as an OpenAPI document: shapes, examples and refusals of every route."""
