"""Language adapters: unlabelled text -> LoRA on the encoder that reads a language, or a domain,
better."""
