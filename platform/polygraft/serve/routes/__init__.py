"""The HTTP endpoints, a file a group, which has `router`. Does not: compute (see `answers`)."""
