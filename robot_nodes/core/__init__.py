"""What a bridge decides, without ROS, DDS, clock or log."""
