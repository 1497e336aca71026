"""The adapter on disk: its files, its manifest, where adapters are kept and how one gets there. No
torch."""
