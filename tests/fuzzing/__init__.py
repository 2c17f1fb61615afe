"""Random edits of files that users give, and what commands make of them."""
