"""A published model made a backbone: `polygraft backbone import`."""
