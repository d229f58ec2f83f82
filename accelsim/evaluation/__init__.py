"""What an evaluation is made of: labelled images, blocks that one process measures at a time, tables."""
