"""Our models against independent references, one file a kind."""
