"""What every node speaks: robot model, physics, kinematics, state types, topics, reasons. No ROS in here."""
