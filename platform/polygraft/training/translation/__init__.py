"""Adapters that write: the recipe's parallel text, LoRA on encoder and decoder, the ladder of baselines, the card."""
