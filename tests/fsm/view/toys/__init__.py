"""A small bakery to look at: drawings, handlers and a driver, none of which know the pipeline."""
