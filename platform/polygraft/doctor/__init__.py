"""`polygraft doctor`: looks an installation over and says what to do about each thing that is not
as it should be.

findings (what is told) <- software, machine, serving (what is looked at) <- examine (all of it).
Does not: change anything, start a server, or ask the network.
"""
