"""Additions: what a frozen universal model needs to do one more member, as a file, and in a model."""
