"""Where a network looks, how faithful such a map is, and whether an image is one it can know."""
