"""Looking on: markers for rviz2, the live page, metrics. Nothing here is needed to move a robot."""
