"""Ingest and twin without ROS: numbers in, frozen results with their reasons out."""
