"""Other forms of a model: weights in fewer bits."""
