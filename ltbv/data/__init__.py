"""Which images does a run see? Pools of images, long-tailed profiles, and index sets drawn from them."""
