"""From raw topics to a trusted robot state, and the twin that runs beside the robot."""
