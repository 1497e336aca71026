"""Files -> rows with splits, hashes, and checks for leaks and shortcuts; of any task."""
