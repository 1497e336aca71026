"""Backbone -> ONNX with the bank as graph inputs; quantise; prove parity; merged exports for
others.

Needs the `train` extra. Writes nothing when the graph drifts from PyTorch + peft.
"""
