"""Recordings: rosbag2 (mcap, sqlite3) and ROS 1 bags in, rosbag2 mcap out, without any middleware."""
