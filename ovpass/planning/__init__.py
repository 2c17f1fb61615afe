"""Planning: pure functions from sites and settings to a Plan."""
