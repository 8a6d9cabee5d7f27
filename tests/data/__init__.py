"""Tests of the pictures' way from disk to batches."""
