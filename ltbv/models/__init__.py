"""What is trained? Networks whose layers hold R runs side by side; `stack` has the layers, `experts` the classifier."""
