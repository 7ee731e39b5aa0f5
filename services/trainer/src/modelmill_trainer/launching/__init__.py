"""Starting the processes of a divided run, here or on a cluster, and speaking for them."""
