"""What people type: the command line, and the data sets that its demo reads."""
