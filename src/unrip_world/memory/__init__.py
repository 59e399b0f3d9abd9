"""What a world remembers from one life to the next: a file of changes, and what of each core goes into it."""
