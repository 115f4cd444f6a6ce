"""Making a raw disk as small as its data, and mounting it for the bake."""
