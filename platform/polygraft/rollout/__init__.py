"""Which version answers a row, which versions are in memory, and what is observed of a change.
Knows nothing of HTTP.

names (what is asked for -> a version) -> dispatch (rows -> the engine) -> tiers (library -> memory)
                                               |-> shadow, observed -> comparing, changes
"""
