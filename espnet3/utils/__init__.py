"""Ground floor: configuration, stages, logging, paths and small file formats."""
