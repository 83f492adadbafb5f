"""What IT reads after a unit has failed: a small, bounded file of faults on the data partition."""
