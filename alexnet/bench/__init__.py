"""Timing our work beside that of others, in one process and in turn."""
