"""A whole task, to see that it takes one folder and one line: a number for a text, by a linear
layer on its sentence vector."""
