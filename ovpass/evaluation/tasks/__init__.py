"""Two small tasks for lm-evaluation-harness that generate text; their data lies beside them."""
