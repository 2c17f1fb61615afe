"""Models on disk, in and out: load, plan, run passes, write, strip."""
