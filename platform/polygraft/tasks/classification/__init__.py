"""Text classification: a linear head on the mean of the token states."""
