"""Reading and writing models: files, folders, weights that stay where they are, notes and options in the IR."""
