"""Families of backbones: what lies in a backbone's folder, how it is loaded and how it reads and
writes text."""
