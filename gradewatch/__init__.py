"""Gradewatch: the grading worker, and the watch that never lets its queue get stuck unseen."""

__version__ = "0.1.0"
