"""DDS beside ROS: the vendor's types as IDL dataclasses, and readers and writers of them."""
