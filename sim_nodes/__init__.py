"""A humanoid that behaves like a robot seen over ROS."""
