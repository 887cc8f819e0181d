"""What is shown, without ROS, clock or log."""
