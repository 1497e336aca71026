"""Embedding: a text's sentence vector, the bare backbone's or one that LoRA learnt from pairs."""
