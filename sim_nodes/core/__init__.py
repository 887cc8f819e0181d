"""Physics, balance, scene and camera. No ROS in here."""
