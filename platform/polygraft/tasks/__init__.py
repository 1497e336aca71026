"""One small file a task: what its head is, and how scores become an answer. numpy only."""
