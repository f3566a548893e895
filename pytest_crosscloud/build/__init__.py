"""The Build pipeline: strategies, the images that they make, and the registry that takes them."""
