"""Scores of a retrieval system: metrics, their intervals, and the DCASE challenge's files."""
