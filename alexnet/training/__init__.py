"""The training system: recipe, update rule, schedule, loop, checkpoints, journal, guards."""
