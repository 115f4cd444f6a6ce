"""What reads files that strangers wrote, fed with anything."""
