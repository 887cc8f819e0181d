"""From demonstrations to a checkpoint: the expert, the data set's format, the learning and the export."""
