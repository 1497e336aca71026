"""One folder a task, found in `registry`: recipe, data, model, metrics and card (training),
`serving` (numpy only)."""
