"""Translation: LoRA on encoder and decoder; the backbone's own vocabulary is the head."""
