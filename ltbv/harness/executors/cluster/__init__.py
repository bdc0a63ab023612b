"""The parts of `executors.ray`: how a cluster is reached, what a node does, which files travel, who hands out."""
