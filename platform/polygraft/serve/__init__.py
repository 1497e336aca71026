"""The HTTP service. schemas (what is sent and answered) -> routes (how) -> app (all of them, and
what every request passes) -> service (the BentoML process around it)."""
