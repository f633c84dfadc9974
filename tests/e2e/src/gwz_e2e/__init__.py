"""Runs the stack, the example and its load, and proves hop by hop that what happened is what arrived."""
