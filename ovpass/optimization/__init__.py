"""Turn whatever a user has into a verified model: a pipeline of ovpass's own commands."""
