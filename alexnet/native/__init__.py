"""The compiled operators and their torch twins: what torch does slowly."""
