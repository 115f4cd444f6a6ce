"""What is in a disk, read without mounting: partitions, volumes, filesystems, boot loaders."""
