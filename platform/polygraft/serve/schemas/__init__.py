"""What the API takes and gives, as pydantic models, a file a group of routes; the client uses the
same ones. Does not: make rows of them (see `serve.rows`)."""
