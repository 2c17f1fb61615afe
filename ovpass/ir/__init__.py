"""Read and write models: files, folders, weights, metadata and runtime options."""
