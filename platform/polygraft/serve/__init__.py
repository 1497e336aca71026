"""The HTTP service. schemas (what is said) -> api (how it is answered) -> service (the BentoML
process around it)."""
