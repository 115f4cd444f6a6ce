"""Writers: each makes a file or a stream of a Disk."""
