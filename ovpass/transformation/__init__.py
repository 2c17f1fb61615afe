"""Transform models on disk: load, plan, run passes, write, strip."""
