"""Tagging: names in a text as spans, or a tag for every word, by a chain over its words' states."""
