"""The way to a real robot: what its vendor speaks on one side, the topics of this suite on the other."""
