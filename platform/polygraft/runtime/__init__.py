"""Serving side: numpy, tokenizers and onnxruntime only. graph <- bank <- scheduler <- engine.

Does not: speak HTTP (see `serve`), or import anything that needs torch.
"""
