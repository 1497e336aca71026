"""From a table of one's own to a recipe that can be trained: what `polygraft new` guesses, asks and
writes. Does not train."""
