"""Accuracy against epsilon: evaluation files, labelled images, blocks that one process measures at a time, tables."""
